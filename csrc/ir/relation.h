// How two windows of one buffer lie to each other. The recipe key holds this relation for every buffer that a graph writes, so
// the compiler may rely on it although offsets are run-time arguments; both must therefore use this one function.
#pragma once

#include "csrc/ir/graph.h"

namespace torch_hpu::ir {

enum class Relation : uint8_t {
  kEqual,        // the same elements in the same order
  kDisjoint,     // proved: no common byte
  kOverlapping,  // anything else
};

// Both windows must be of the same buffer.
Relation relation(const Window& a, const Window& b);

// Whether relations of this window to other comparable ones of its buffer hold in every run: offsets into buffers that the graph creates are
// structure, for inputs that it writes the relations are in the key, and a window that spans its buffer has only one place. Windows of other
// inputs move on their own.
bool comparable(const Graph& graph, const Window& w);

// Whether the window covers every byte of a buffer of `nbytes`, each once.
bool covers(const Window& w, int64_t nbytes);

}  // namespace torch_hpu::ir
