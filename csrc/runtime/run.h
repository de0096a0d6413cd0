// Runs a recipe on bound buffers.
#pragma once

#include "csrc/recipe/recipe.h"

namespace torch_hpu::runtime {

// Runs all steps in order. Throws what a step throws, with the step's name added.
void run(const Recipe& recipe, const Invocation& invocation);

}  // namespace torch_hpu::runtime
