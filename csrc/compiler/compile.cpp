#include "csrc/compiler/compile.h"

#include <chrono>

#include "csrc/codegen/codegen.h"
#include "csrc/compiler/emit.h"
#include "csrc/compiler/lower.h"
#include "csrc/compiler/pass_table.h"
#include "csrc/support/disk_cache.h"
#include "csrc/support/exit.h"
#include "csrc/support/hash.h"
#include "csrc/support/log.h"

namespace torch_hpu::compiler {

std::unique_ptr<Recipe> compile(const ir::Graph& graph, Tier tier, uint64_t id) {
  const auto start = std::chrono::steady_clock::now();
  const auto program = std::make_shared<const Program>(tier == Tier::kGeneric ? all_extern(graph) : optimize(graph, id));
  std::unique_ptr<Recipe> recipe = emit(*program);
  recipe->text = [program] { return to_string(*program); };
  recipe->from_disk = program->from_disk;
  recipe->id = id;
  recipe->compile_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (tier == Tier::kCompiled) {
    TORCH_HPU_LOG(1, "compiled graph " << hex8(id) << ": " << graph.nodes.size() << " nodes to " << recipe->steps.size() << " steps in "
                                       << recipe->compile_seconds * 1e3 << " ms");
  }
  return recipe;
}

void prepare() {
  static const std::shared_future<void> code = run_aside([] {
    disk_cache::enabled();  // describes this machine
    codegen::prepare();
  });
}

}  // namespace torch_hpu::compiler
