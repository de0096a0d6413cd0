// Why a graph is compiled, in words: how it differs from the nearest graph that was compiled before, and at which line of the user.
#pragma once

#include <string>
#include <vector>

#include "csrc/lazy/trace.h"

namespace torch_hpu::lazy {

// What makes a graph's recipe its own; borrowed.
struct Identity {
  const ir::Graph& graph;
  const Words& words;                   // with the key's tail
  const std::vector<uint32_t>& nodes;   // where each node's words begin, and where the tail does
  const std::vector<uint64_t>& places;  // of nodes
  const std::vector<bool>& observable;
};

// Notes that the graph with this label is about to be compiled; counts the cause (a detail of the counter "compilations") and remembers the
// sentence. The causes: "first", "new op sequence", "shape", "dtype", "stride", "constant", "argument" (given or left out, another kind of
// number), "memory" (other sizes of existing tensors, or they alias in another way), "liveness" (other results are still wanted), "evicted".
void explain_compilation(const Identity& identity, const std::string& label);

// The last sentences, oldest first: "graph 1a2b3c4d (12 nodes): shape: ...".
std::vector<std::string> compilation_reasons();

}  // namespace torch_hpu::lazy
