// The private copies of a call's tensors that a captured graph reads, laid out as the given ones are: strides are kept, and tensors that share
// memory share it in the copies too.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "torch_hpu/export.h"
#include "torch_hpu/hpu_graph.h"

namespace torch_hpu {

class TORCH_HPU_API StaticInputs {
 public:
  // Copies `given`, tensors on any device; the copies are on the current hpu device.
  explicit StaticInputs(const std::vector<at::Tensor>& given);

  const std::vector<at::Tensor>& tensors() const {
    return tensors_;
  }
  bool has_own_storage(size_t index) const;
  // Copies tensors with the same signature in.
  void load(const std::vector<at::Tensor>& given) const;
  // Copies back what `graph` writes: a call that updates its arguments in place does so when it is replayed, too.
  void store(const std::vector<at::Tensor>& given, const HPUGraph& graph) const;

  // What makes two lists of tensors interchangeable: dtypes, devices, sizes, strides, and how they share memory.
  static std::vector<int64_t> signature(const std::vector<at::Tensor>& given);
  // signature(given) == signature, without making it.
  static bool has_signature(const std::vector<at::Tensor>& given, const std::vector<int64_t>& signature);

 private:
  // Tensors that share one storage, by their first; its bytes are copied as a whole.
  struct Shared {
    size_t first;
    at::Tensor bytes;
  };
  std::vector<at::Tensor> tensors_;
  std::vector<size_t> own_;  // tensors with a storage of their own
  std::vector<Shared> shared_;
};

}  // namespace torch_hpu
