// Equal nodes of a graph are computed once.
//
// Note [Equal nodes]
// Nodes are numbered by value, in program order. Two nodes are equal when they run one op of ATen with equal constants and the same run-time
// scalars, read windows of equal geometry over buffers that hold equal bytes, and write windows of equal geometry over buffers that held equal
// bytes before. Never equal: random and mutating nodes, ops of other namespaces (who knows what else they do), and run-time scalars that merely
// have one value in this recording.
// Of two equal nodes the later one goes, and what reads its results reads the first one's, when nobody can tell:
//   - both results lie in buffers that the graph creates; the later one's is not observable and not written again;
//   - the first one's is not overwritten before the last of these reads;
// and when memory does not grow for it: the first result is still needed where the later node stands, or was needed by one of the kNear nodes
// before it. So sharing never keeps more alive than the results of a few nodes.
// Activation checkpointing computes on purpose what was computed before. The recorder marks such nodes (Node::recomputed), and a marked node is
// never equal to an unmarked one, however near it is.
#pragma once

#include "csrc/ir/graph.h"

namespace torch_hpu::compiler {

void share_equal_nodes(ir::Graph& graph);

}  // namespace torch_hpu::compiler
