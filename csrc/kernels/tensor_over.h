// ATen tensors over memory that somebody else owns; an order of magnitude cheaper than at::from_blob.
#pragma once

#include <ATen/core/Tensor.h>

#include "csrc/kernels/step.h"

namespace torch_hpu::kernels {

inline at::Tensor tensor_over(std::byte* data, int64_t nbytes, c10::ScalarType dtype, c10::IntArrayRef sizes, c10::IntArrayRef strides,
                              int64_t offset) {
  c10::Storage storage(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), nbytes,
                                                             c10::DataPtr(data, c10::Device(c10::DeviceType::CPU)), nullptr, false));
  at::Tensor t = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU),
                                                          c10::scalarTypeToTypeMeta(dtype));
  t.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides, offset);
  return t;
}

// An operand of a library call at its address in this run.
inline at::Tensor tensor_over(const Operand& o, const Invocation& invocation) {
  int64_t extent = 1;
  for (size_t d = 0; d < o.sizes.size(); ++d) {
    extent = o.sizes[d] == 0 ? 0 : extent + (o.sizes[d] - 1) * o.strides[d];
    if (extent == 0) {
      break;
    }
  }
  return tensor_over(address(o, invocation), extent * static_cast<int64_t>(c10::elementSize(o.dtype)), o.dtype, o.sizes, o.strides, 0);
}

}  // namespace torch_hpu::kernels
