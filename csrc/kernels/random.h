// Random ops by Philox on the host: the reference of generated code, see Note [Random numbers].
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <c10/util/ArrayRef.h>

#include <string_view>

namespace torch_hpu::kernels {

struct RandomStream {
  uint64_t seed, offset;
};

// Whether run_random() knows the op ("aten::uniform", "aten::native_dropout" ...).
bool is_random(std::string_view name);

// The largest integer that random_() draws for a dtype: floating point dtypes hold all integers up to it.
int64_t largest_random(c10::ScalarType t);

// Computes the returns of the random op `name` from its arguments (`args`, by schema position: CPU tensors, doubles, ints ...) and stores
// return i into out[i], cast to its dtype; an undefined out[i] is skipped. All arguments are read before anything is stored.
void run_random(std::string_view name, const RandomStream& stream, c10::ArrayRef<c10::IValue> args, c10::ArrayRef<at::Tensor> out);

}  // namespace torch_hpu::kernels
