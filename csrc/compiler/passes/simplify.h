// Loops in their simplest form, and no loads of what is known: a buffer that one loop fills with a constant or a run-time scalar is not read by the
// loops behind it, they use the value. The fill goes when nobody else reads it (dead_code).
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

void simplify(Program& program);

}  // namespace torch_hpu::compiler
