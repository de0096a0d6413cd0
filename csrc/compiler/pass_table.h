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

// Runs all of them; those on the program only when the disk cache does not hold what they would make. With TORCH_HPU_DUMP the text is written
// to that folder before the first and after each pass that changed it; `id`, the recipe's, is in the names of the files.
Program optimize(ir::Graph graph, uint64_t id = 0);

}  // namespace torch_hpu::compiler
