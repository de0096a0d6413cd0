// Two loops over the same points as one.
#pragma once

#include <optional>

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

// `first`, then `second`: what the second loads of what the first stores become the stored values. Nothing when the iteration spaces differ, when a
// point of the one needs what another point of the other stores, or when the loop would grow too large.
std::optional<codegen::Loop> merge(const ir::Graph& graph, const codegen::Loop& first, const codegen::Loop& second);

}  // namespace torch_hpu::compiler
