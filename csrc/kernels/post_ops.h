// Post-ops on rows of float, for kernels that have no library to do it.
#pragma once

#include "csrc/kernels/matmul.h"

namespace torch_hpu::kernels {

// row[j] = f(row[j]) for columns n0 + [0, n) of row m in batch `batch` (coordinates by batch dim). `pointers`: one per tensor extra.
void apply_extras(const MatmulProblem& problem, c10::ArrayRef<const void*> pointers, c10::ArrayRef<int64_t> batch, int64_t m, int64_t n0,
                  float* row, int64_t n);

// The same for double.
void apply_extras(const MatmulProblem& problem, c10::ArrayRef<const void*> pointers, c10::ArrayRef<int64_t> batch, int64_t m, int64_t n0,
                  double* row, int64_t n);

}  // namespace torch_hpu::kernels
