// CPU tensors over device memory: host memory is device memory, so a kernel of ATen can work on it in place.
#pragma once

#include <ATen/core/Tensor.h>

namespace torch_hpu::lazy {

// A CPU tensor over the bytes of an hpu tensor (same sizes, strides, offset, conj and neg bits). Flushes and waits for the bytes first.
// The alias keeps the bytes alive. `cause`: why the host needs them.
at::Tensor cpu_alias(const at::Tensor& tensor, const char* cause);

}  // namespace torch_hpu::lazy
