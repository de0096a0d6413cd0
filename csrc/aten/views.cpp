// Ops that change what a tensor shows, never bytes.
#include <ATen/native/TensorShape.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/is_set_to_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Contiguity.h>

#include <c10/util/strides.h>

#include "csrc/aten/kernels.h"
#include "csrc/aten/resize.h"
#include "csrc/lazy/memory.h"

namespace torch_hpu::aten {

at::Tensor as_strided(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<int64_t> storage_offset) {
  return at::native::as_strided_tensorimpl(self, size, stride, storage_offset);
}

const at::Tensor& as_strided_(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride,
                              std::optional<int64_t> storage_offset) {
  self.unsafeGetTensorImpl()->set_sizes_and_strides(size, stride, storage_offset.value_or(self.storage_offset()));
  return self;
}

at::Tensor view(const at::Tensor& self, c10::IntArrayRef size) {
  return at::native::view(self, size);
}

at::Tensor reshape_alias(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride) {
  return at::native::_reshape_alias(self, size, stride);
}

at::Tensor unfold(const at::Tensor& self, int64_t dimension, int64_t size, int64_t step) {
  return at::native::unfold(self, dimension, size, step);
}

at::Tensor view_as_real(const at::Tensor& self) {
  return at::native::view_as_real(self);
}

at::Tensor view_as_complex(const at::Tensor& self) {
  return at::native::view_as_complex(self);
}

const at::Tensor& resize_(const at::Tensor& self, c10::IntArrayRef size, std::optional<c10::MemoryFormat> memory_format) {
  at::TensorImpl* impl = self.unsafeGetTensorImpl();
  if (!self.sizes().equals(size)) {
    int64_t numel = 1;
    for (int64_t s : size) {
      TORCH_CHECK(s >= 0, "[resize_] negative size: got ", size, ", expected sizes of 0 or more");
      numel *= s;
    }
    const size_t nbytes = static_cast<size_t>(numel + (numel > 0 ? self.storage_offset() : 0)) * self.itemsize();
    c10::StorageImpl* storage = impl->unsafe_storage().unsafeGetStorageImpl();
    if (nbytes > storage->nbytes()) {
      resize_storage(storage, nbytes);
    }
    impl->set_sizes_contiguous(size);
  }
  if (memory_format) {
    TORCH_CHECK(*memory_format != c10::MemoryFormat::Preserve, "[resize_] unsupported memory format preserve");
    impl->empty_tensor_restride(*memory_format);
  }
  return self;
}

at::Tensor& set_source_storage_offset(at::Tensor& self, at::Storage source, int64_t storage_offset, c10::IntArrayRef size,
                                      c10::IntArrayRef stride) {
  TORCH_CHECK(source.device().type() == c10::DeviceType::PrivateUse1, "[set_] got a storage on ", source.device(), ", expected one on hpu");
  TORCH_CHECK(storage_offset >= 0, "[set_] got storage offset ", storage_offset, ", expected 0 or more");
  at::TensorImpl* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(source));
  const c10::DimVector strides =
      stride.size() != size.size() ? c10::contiguous_strides(size) : c10::DimVector(stride.begin(), stride.end());
  impl->set_sizes_and_strides(size, strides, storage_offset);
  return self;
}

at::Tensor& set_source_storage(at::Tensor& self, at::Storage source) {
  const auto n = static_cast<int64_t>(source.nbytes() / self.itemsize());
  return set_source_storage_offset(self, std::move(source), 0, {n}, {1});
}

at::Tensor& set_source_tensor(at::Tensor& self, const at::Tensor& source) {
  TORCH_CHECK(self.dtype() == source.dtype(), "[set_] got dtype ", source.dtype(), ", expected ", self.dtype());
  return set_source_storage_offset(self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

at::Tensor& set_empty(at::Tensor& self) {
  return set_source_storage_offset(self, lazy::make_storage(self.device().index(), 0), 0, {0}, {1});
}

bool is_set_to(const at::Tensor& self, const at::Tensor& tensor) {
  return at::native::is_set_to(self, tensor);
}

bool has_compatible_shallow_copy_type(const at::Tensor& self, const at::Tensor& from) {
  // Plain TensorImpls on both sides, dense or ours: their metadata can be copied.
  auto plain = [](const at::Tensor& t) {
    return t.layout() == c10::kStrided && (t.device().is_cpu() || t.device().type() == c10::DeviceType::PrivateUse1);
  };
  return plain(self) && plain(from);
}

void record_stream(at::Tensor&, c10::Stream) {
  // Memory is kept until every task that uses it has finished, on whatever stream: nothing to note.
}

}  // namespace torch_hpu::aten
