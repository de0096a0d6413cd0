// Which points of two loops meet: a producer and a consumer rewritten to one iteration space.
#pragma once

#include <optional>

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

// Both loops over one iteration space.
struct Pair {
  codegen::Loop producer, consumer;
  bool same_points;  // false: the consumer has points that repeat the producer's
};

// Aligns by a buffer that the producer stores (at `store`) and the consumer loads (through `load`). Nothing when the two maps don't
// enumerate the same addresses, or when the rows of the one cannot be rows of the other.
std::optional<Pair> align(const ir::Graph& graph, const codegen::Loop& producer, const codegen::Access& store,
                          const codegen::Loop& consumer, const codegen::Access& load);

}  // namespace torch_hpu::compiler
