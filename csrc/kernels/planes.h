// Tensors with a batch, channels and up to three spatial dims, all seen as [B, C, D, H, W].
#pragma once

#include <array>

#include "csrc/kernels/step.h"

namespace torch_hpu::kernels {

struct Planes {
  std::array<int64_t, 5> sizes{1, 1, 1, 1, 1}, strides{0, 0, 0, 0, 0};
};

// The last n dims of the operand are spatial, [C] or [B, C] precede.
inline Planes planes_of(const Operand& o, size_t n) {
  Planes v;
  const size_t lead = o.sizes.size() - n;
  for (size_t d = 0; d < lead; ++d) {
    v.sizes[2 - lead + d] = o.sizes[d];
    v.strides[2 - lead + d] = o.strides[d];
  }
  for (size_t d = 0; d < n; ++d) {
    v.sizes[5 - n + d] = o.sizes[lead + d];
    v.strides[5 - n + d] = o.strides[lead + d];
  }
  return v;
}

}  // namespace torch_hpu::kernels
