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

}  // namespace torch_hpu::ir
