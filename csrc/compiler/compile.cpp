#include "csrc/compiler/compile.h"

#include <chrono>

#include "csrc/codegen/codegen.h"
#include "csrc/compiler/emit.h"
#include "csrc/compiler/lower.h"
#include "csrc/compiler/pass_table.h"
#include "csrc/compiler/program_archive.h"
#include "csrc/compiler/recent.h"
#include "csrc/support/disk_cache.h"
#include "csrc/support/exit.h"
#include "csrc/support/hash.h"
#include "csrc/support/log.h"
#include "csrc/support/pages.h"

namespace torch_hpu::compiler {
namespace {

std::unique_ptr<Recipe> recipe_of(Program made) {
  const auto program = std::make_shared<const Program>(std::move(made));
  std::unique_ptr<Recipe> recipe = emit(*program);
  recipe->text = [program] { return to_string(*program); };
  recipe->from_disk = program->from_disk;
  return recipe;
}

std::unique_ptr<Recipe> compiled(const ir::Graph& graph, uint64_t id) {
  Pipeline pipeline(graph, id);
  const std::optional<std::string> key = program_key(pipeline.graph());
  if (key) {
    if (std::unique_ptr<Recipe> loaded = use_program(*key)) {
      return loaded;
    }
    if (std::optional<Program> kept = load_program(*key, pipeline.graph())) {
      return recipe_of(std::move(*kept));
    }
  }
  Program program = std::move(pipeline).program();
  if (key) {
    keep_program(*key, program);
  }
  return recipe_of(std::move(program));
}

std::unique_ptr<Recipe> from_entry(const disk_cache::Entry& entry) {
  const std::optional<ir::Graph> graph = graph_in(entry.key);
  return graph ? recipe_of(program_in(entry.value, *graph)) : nullptr;
}

}  // namespace

std::unique_ptr<Recipe> compile(const ir::Graph& graph, Tier tier, uint64_t id) {
  const auto start = std::chrono::steady_clock::now();
  std::unique_ptr<Recipe> recipe = tier == Tier::kGeneric ? recipe_of(all_extern(graph)) : compiled(graph, id);
  recipe->id = id;
  recipe->compile_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (tier == Tier::kCompiled) {
    TORCH_HPU_LOG(1, "compiled graph " << hex8(id) << ": " << graph.nodes.size() << " nodes to " << recipe->steps.size() << " steps in "
                                       << recipe->compile_seconds * 1e3 << " ms");
  }
  return recipe;
}

void prepare() {
  constexpr size_t kPreparedBytes = size_t{32} << 20;  // arena and workspaces of a small network
  // Never destroyed: that would wait for threads which a forked child does not have.
  [[maybe_unused]] static const auto* code = new std::shared_future<void>(run_aside([] {
    codegen::prepare();
    if (disk_cache::enabled()) {
      load_recent(from_entry);
    }
  }));
  [[maybe_unused]] static const auto* pages = new std::shared_future<void>(run_aside([] { prepare_pages(kPreparedBytes); }));
}

}  // namespace torch_hpu::compiler
