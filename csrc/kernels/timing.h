// Measuring candidates when a step is made.
#pragma once

#include <c10/core/ScalarType.h>

#include <functional>

#include "csrc/kernels/packed_weights.h"

namespace torch_hpu::kernels {

// Memory full of numbers between -1 and 1. Not zeros: some kernels branch on signs, and a predicted branch costs nothing.
AlignedBytes noise(size_t nbytes, c10::ScalarType dtype);

// Seconds of the fastest of at least `runs` runs (more while a millisecond lasts, 50 at most), after one to warm up.
double fastest_run(const std::function<void()>& run, int runs);

}  // namespace torch_hpu::kernels
