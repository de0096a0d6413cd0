// Reductions over a single element are that element: loops whose reduced dims all have size 1 become pointwise.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

void drop_unit_reductions(Program& program);

}  // namespace torch_hpu::compiler
