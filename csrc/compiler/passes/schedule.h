// Temporaries are made when they are needed: an item moves down to its first reader when all that it reads lives at least that long anyway (or is no
// temporary), so that the arena holds its results for a shorter time, and nothing for a longer one.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

void schedule(Program& program);

}  // namespace torch_hpu::compiler
