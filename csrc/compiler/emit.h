// The end of the pipeline: a program becomes the steps of a recipe.
#pragma once

#include "csrc/compiler/program.h"
#include "csrc/recipe/recipe.h"

namespace torch_hpu::compiler {

// Generates code for all loops (one module), builds library and extern steps, plans memory. A second thread helps with
// what the disk holds.
std::unique_ptr<Recipe> emit(const Program& program);

}  // namespace torch_hpu::compiler
