// Runs a recipe on bound buffers.
#pragma once

#include <vector>

#include "csrc/recipe/recipe.h"

namespace torch_hpu::runtime {

// Time spent in each step, summed over the measured runs.
struct StepTimes {
  uint64_t runs = 0;
  std::vector<double> seconds;
};

// Runs all steps in order. Throws what a step throws; then `step` is the number of that step. times: measures the steps; null: does not.
void run(const Recipe& recipe, const Invocation& invocation, size_t& step, StepTimes* times = nullptr);

}  // namespace torch_hpu::runtime
