// The device's random numbers.
#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>

#include "torch_hpu/export.h"

namespace torch_hpu {

// Seeds the default generator of every device. torch::manual_seed does the same, for the CPU too.
TORCH_HPU_API void manual_seed(uint64_t seed);
TORCH_HPU_API const at::Generator& default_generator(int device = 0);
TORCH_HPU_API uint64_t initial_seed(int device = 0);

}  // namespace torch_hpu
