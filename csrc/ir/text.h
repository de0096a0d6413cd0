// Graphs as text: for dumps, golden tests and people. One statement a line:
//
//   buffer b0 7400 input written            bytes, kind; "observable" for locals that somebody reads afterwards
//   scalar s0 float 2.5                     bool, int, float, complex (two numbers)
//   window w0 b0 Float [37, 50] [50, 1] @0  buffer, dtype, sizes, strides, offset; then "conj", "neg"
//   node aten::add.Tensor (w0, w1, s0) -> (w2)
//
// Arguments of a node: w0 (wrapped: w0!), [w0, none] (a list), s0, s0:Float (0-dim tensor; wrapped: s0:Float!), none, and constants: 3, 2.5, true,
// "text", i[1, 2], d[1.0], b[true], device(hpu:0). Behind the writes: "mutating", "recomputed", "rng s3".
#pragma once

#include <string>
#include <string_view>

#include "csrc/ir/graph.h"

namespace torch_hpu::ir {

std::string to_string(const Graph& graph);
// The same without the values of scalars, which differ between runs of one recipe. (So may offsets into inputs, which stay.)
std::string structure_of(const Graph& graph);
// What stands behind "buffer b0", "window w0" and "node".
std::string to_string(const Buffer& buffer);
std::string to_string(const Window& window);
std::string to_string(const Graph& graph, const Node& node);

// The inverse of to_string(), and of structure_of(): scalars without a value are 0. Throws with the line's number and what is wrong; ops are looked
// up in the dispatcher.
Graph parse(std::string_view text);

// For graphviz: buffers as boxes, nodes as ellipses.
std::string to_dot(const Graph& graph);

}  // namespace torch_hpu::ir
