// Math without a vector form, as functions over small arrays: generated code spills a vector, calls, and reads it back.
#pragma once

#include <vector>

#include "csrc/codegen/loop.h"

namespace torch_hpu::codegen {

struct ArrayFunction {
  Op op;
  c10::ScalarType dtype;
  void* address;
};
const std::vector<ArrayFunction>& array_functions();

void half_to_float(const uint16_t* from, float* to, int64_t n);
void float_to_half(const float* from, uint16_t* to, int64_t n);

}  // namespace torch_hpu::codegen
