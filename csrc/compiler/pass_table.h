// The passes in the order in which they run: some on the graph, then lowering, then the others on the program.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

struct GraphPass {
  const char* name;
  void (*run)(ir::Graph&);
};
const std::vector<GraphPass>& graph_passes();

struct Pass {
  const char* name;
  void (*run)(Program&);
};
const std::vector<Pass>& passes();

// Runs all of them, in two stages: what the disk cache holds is known by the graph between them. With TORCH_HPU_DUMP the text is written to that
// folder before the first pass and after each that changed it; `id`, the recipe's, is in the names of the files.
class Pipeline {
 public:
  Pipeline(ir::Graph graph, uint64_t id);  // runs the passes on the graph
  ~Pipeline();
  const ir::Graph& graph() const {
    return graph_;
  }
  Program program() &&;  // lowers it, and runs the passes on the program

 private:
  class Dump;
  ir::Graph graph_;
  std::unique_ptr<Dump> dump_;
};

}  // namespace torch_hpu::compiler
