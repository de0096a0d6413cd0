// The end of the pipeline: a program becomes the steps of a recipe.
#pragma once

#include "csrc/compiler/program.h"
#include "csrc/recipe/recipe.h"

namespace torch_hpu::compiler {

// Generates code for all loops (one module), builds library and extern steps, plans memory. With `aside`, a second thread helps; not for programs
// whose steps have to be timed yet.
std::unique_ptr<Recipe> emit(const Program& program, bool aside = false);

}  // namespace torch_hpu::compiler
