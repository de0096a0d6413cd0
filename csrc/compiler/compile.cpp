#include "csrc/compiler/compile.h"

#include "csrc/compiler/memory_plan.h"
#include "csrc/kernels/reference.h"

namespace torch_hpu::compiler {
namespace {

std::vector<ir::WindowId> windows_of(const ir::Graph& graph, const ir::Node& node) {
  std::vector<ir::WindowId> ids;
  for (const ir::Arg& arg : node.args) {
    if (arg.kind == ir::Arg::Kind::kWindow) {
      ids.push_back(arg.index);
    } else if (arg.kind == ir::Arg::Kind::kWindowList) {
      for (uint32_t k = 0; k < arg.count; ++k) {
        if (graph.list_items[arg.index + k] != ir::kNone) {
          ids.push_back(graph.list_items[arg.index + k]);
        }
      }
    }
  }
  for (ir::WindowId id : node.writes) {
    if (id != ir::kNone) {
      ids.push_back(id);
    }
  }
  return ids;
}

std::unique_ptr<Recipe> compile_generic(const ir::Graph& graph) {
  auto recipe = std::make_unique<Recipe>();
  std::vector<Lifetime> lifetimes(graph.buffers.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (ir::WindowId w : windows_of(graph, graph.nodes[i])) {
      lifetimes[graph.windows[w].buffer].touch(i);
    }
    recipe->steps.push_back(kernels::make_reference_step(graph, graph.nodes[i]));
  }
  plan_memory(graph.buffers, lifetimes, *recipe);
  return recipe;
}

} // namespace

std::unique_ptr<Recipe> compile(const ir::Graph& graph, Tier) {
  return compile_generic(graph);
}

} // namespace torch_hpu::compiler
