#include "csrc/lazy/alias.h"

#include <c10/core/CPUAllocator.h>

#include "csrc/lazy/memory.h"
#include "csrc/lazy/sync.h"

namespace torch_hpu::lazy {

at::Tensor cpu_alias(const at::Tensor& tensor, const char* cause) {
  Memory* memory = memory_of(tensor.storage().unsafeGetStorageImpl());
  auto keep = MemoryPtr::reclaim_copy(memory);
  make_ready(memory, cause);
  c10::DataPtr pointer(
      memory->data, keep.release(), [](void* m) { MemoryPtr::reclaim(static_cast<Memory*>(m)); }, c10::Device(c10::DeviceType::CPU));
  c10::Storage storage(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), static_cast<int64_t>(memory->nbytes),
                                                             std::move(pointer), nullptr, false));
  at::Tensor alias =
      at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  alias.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  if (tensor.is_conj()) {
    alias._set_conj(true);
  }
  if (tensor.is_neg()) {
    alias._set_neg(true);
  }
  return alias;
}

}  // namespace torch_hpu::lazy
