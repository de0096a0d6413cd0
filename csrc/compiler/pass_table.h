// The passes in the order in which they run.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

struct Pass {
  const char* name;
  void (*run)(Program&);
};

const std::vector<Pass>& passes();

// Runs all of them. With TORCH_HPU_DUMP the program's text is written to that folder before the first and after each pass that changed it.
void run_passes(Program& program);

}  // namespace torch_hpu::compiler
