// Sizes of existing tensors and storages.
#pragma once

#include <ATen/core/Tensor.h>

namespace torch_hpu::aten {

// Gives the storage `nbytes` bytes, keeping the common prefix of the old ones. A storage that nothing was recorded for simply gets
// other undefined bytes: no flush.
void resize_storage(c10::StorageImpl* storage, size_t nbytes);

// The out= contract: `out` takes these sizes and strides; warns when it was not empty before.
void resize_output(const at::Tensor& out, c10::IntArrayRef sizes, c10::IntArrayRef strides);

}  // namespace torch_hpu::aten
