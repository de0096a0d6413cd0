// Ops that have no ATen CPU kernel, composed of ATen ops that have one.
#pragma once

#include <ATen/core/stack.h>

#include <string_view>

namespace torch_hpu::kernels {

// Replaces the arguments on the stack by the returns, as a boxed kernel does.
using Composite = void (*)(torch::jit::Stack&);

// The composite of an op by name ("aten::..."), or null.
Composite find_composite(std::string_view name);

}  // namespace torch_hpu::kernels
