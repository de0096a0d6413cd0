// What the collectives share: checks of their arguments, and the tensors that the engine sees.
#pragma once

#include <ATen/ops/empty.h>

#include "csrc/distributed/operation.h"
#include "csrc/distributed/reduction.h"

namespace torch_hpu::distributed {

constexpr c10::ScalarType kBytes = at::kByte;  // how collectives that only move values see them

inline void check_tensor(const char* name, const at::Tensor& t) {
  TORCH_CHECK(t.defined(), "[hccl] ", name, ": got an undefined tensor");
  TORCH_CHECK(t.device().type() == c10::DeviceType::PrivateUse1, "[hccl] ", name, ": got a tensor on ", t.device(),
              ", expected one on hpu. For tensors of both, make the group with backend \"cpu:gloo,hpu:hccl\"");
  TORCH_CHECK(t.layout() == at::kStrided, "[hccl] ", name, ": got a tensor of layout ", t.layout(), ", expected a strided one");
}

inline void check_like(const char* name, const char* role, const at::Tensor& t, const at::Tensor& model) {
  check_tensor(name, t);
  TORCH_CHECK_TYPE(t.scalar_type() == model.scalar_type(), "[hccl] ", name, ": ", role, " has dtype ", t.scalar_type(), ", expected ",
                   model.scalar_type(), " as the others");
}

inline void check_numel(const char* name, const char* role, const at::Tensor& t, int64_t numel) {
  TORCH_CHECK_VALUE(t.numel() == numel, "[hccl] ", name, ": ", role, " has shape ", t.sizes(), ", that is ", t.numel(),
                    " elements, expected ", numel);
}

inline void check_count(const char* name, const char* role, size_t got, size_t expected) {
  TORCH_CHECK_VALUE(got == expected, "[hccl] ", name, ": got ", got, " ", role, ", expected ", expected);
}

// What a collective writes: the tensor itself, or a dense stand-in that leave() copies into it.
class Output {
 public:
  explicit Output(const at::Tensor& place)
      : place_(place),
        values_(is_dense(place) ? place : at::empty(place.sizes(), place.options().memory_format(at::MemoryFormat::Contiguous))) {}
  Operand operand() const {
    return {values_, kBytes, false, true};
  }
  void leave() const {
    if (!values_.is_same(place_)) {
      place_.copy_(values_);
    }
  }

 private:
  at::Tensor place_, values_;
};

inline Operand input(const at::Tensor& tensor) {
  return {dense(tensor), kBytes, true, false};
}

inline std::vector<at::Tensor> part(const std::vector<at::Tensor>& views, size_t begin, size_t end) {
  return {views.begin() + static_cast<std::ptrdiff_t>(begin), views.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace torch_hpu::distributed
