// Any node by ATen's own CPU kernel, zero-copy on the graph's buffers: the generic tier, extern steps, and the reference that
// compiled kernels are checked against.
#pragma once

#include <memory>

#include "csrc/ir/graph.h"
#include "csrc/recipe/recipe.h"

namespace torch_hpu::kernels {

// A step that runs `node` of `graph` on the calling thread. Copies what it needs of both.
std::unique_ptr<Step> make_reference_step(const ir::Graph& graph, const ir::Node& node);

}  // namespace torch_hpu::kernels
