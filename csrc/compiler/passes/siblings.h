// Products of one operand with several weights (query, key and value; gate and up) become one library call, which multiplies by all weights
// at once when they have been packed side by side: Note [Packed weights].
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

void merge_siblings(Program& program);

}  // namespace torch_hpu::compiler
