// Drops stores whose bytes nobody reads, and items that store nothing any more.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

void remove_dead_code(Program& program);

}  // namespace torch_hpu::compiler
