#include "csrc/aten/resize.h"

#include <algorithm>
#include <cstring>

#include "csrc/lazy/memory.h"
#include "csrc/lazy/sync.h"

namespace torch_hpu::aten {

void resize_storage(c10::StorageImpl* storage, size_t nbytes) {
  lazy::Memory* old = lazy::memory_of(storage);
  if (nbytes == old->nbytes) {
    storage->set_nbytes(nbytes);
    return;
  }
  auto memory = c10::make_intrusive<lazy::Memory>(old->device, nbytes);
  bool has_bytes = false;
  {
    const lazy::Lock lock = lazy::lock_recording();
    has_bytes = old->produced || old->trace != nullptr;
  }
  if (has_bytes && old->nbytes > 0 && nbytes > 0) {
    lazy::forbid_host_in_capture("resize of a tensor that has bytes");
    lazy::make_ready(old, "storage resize");
    memory->bind();
    memory->produced = true;
    std::memcpy(memory->data, old->data, std::min(nbytes, old->nbytes));
  } else if (nbytes == 0) {
    memory->bound = true;
  }
  lazy::rebind(storage, std::move(memory));
}

void resize_output(const at::Tensor& out, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  if (out.numel() != 0) {
    TORCH_WARN("[hpu] an output with one or more elements was resized since it had shape ", out.sizes(),
               ", which does not match the required output shape ", sizes, ". This behavior is deprecated.");
  }
  size_t extent = 1;
  for (size_t d = 0; d < sizes.size(); ++d) {
    extent = sizes[d] == 0 || extent == 0 ? 0 : extent + static_cast<size_t>((sizes[d] - 1) * strides[d]);
  }
  at::TensorImpl* impl = out.unsafeGetTensorImpl();
  const size_t nbytes = (extent + static_cast<size_t>(out.storage_offset())) * out.itemsize();
  c10::StorageImpl* storage = impl->unsafe_storage().unsafeGetStorageImpl();
  if (extent > 0 && nbytes > storage->nbytes()) {
    resize_storage(storage, nbytes);
  }
  impl->set_sizes_and_strides(sizes, strides);
}

}  // namespace torch_hpu::aten
