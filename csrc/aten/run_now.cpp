// Running an op at once: data-dependent ops, and the first execution of ops whose output shapes are not known yet. The graph is
// flushed, the op works on the bytes of its arguments in place, what it returns becomes tensors of the device.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>

#include <unordered_map>

#include "csrc/aten/boxed.h"
#include "csrc/aten/resize.h"
#include "csrc/lazy/alias.h"
#include "csrc/lazy/record.h"
#include "csrc/lazy/sync.h"

namespace torch_hpu::aten {
namespace {

using torch::jit::Stack;

bool on_hpu(const at::Tensor& t) {
  return t.defined() && t.device().type() == c10::DeviceType::PrivateUse1;
}

// CPU twins of device tensors, and the way back.
class Twins {
 public:
  at::Tensor cpu(const at::Tensor& t, const std::string& cause) {
    if (!on_hpu(t)) {
      return t;
    }
    device_ = t.device().index();
    at::Tensor alias = lazy::cpu_alias(t, cause.c_str());
    if (t.unsafeGetTensorImpl()->is_wrapped_number()) {
      alias.unsafeGetTensorImpl()->set_wrapped_number(true);
    }
    twins_.emplace(alias.unsafeGetTensorImpl(), t);
    storages_.emplace(alias.storage().unsafeGetStorageImpl(), t);
    kept_.push_back(alias);
    return alias;
  }

  // An out= argument that the kernel may resize: an empty stand-in, copied back by finish_outputs().
  at::Tensor stand_in(const at::Tensor& t) {
    device_ = t.device().index();
    at::Tensor fresh = at::empty({0}, at::TensorOptions().dtype(t.dtype()).device(c10::kCPU));
    stand_ins_.emplace_back(fresh, t);
    twins_.emplace(fresh.unsafeGetTensorImpl(), t);
    return fresh;
  }

  void finish_outputs() {
    for (auto& [fresh, out] : stand_ins_) {
      if (!out.sizes().equals(fresh.sizes())) {
        resize_output(out, fresh.sizes(), fresh.strides());
      }
      out.copy_(fresh);
    }
  }

  // The kernel is about to write these bytes behind the recorder's back.
  void note_write(const at::Tensor& alias) {
    if (auto it = twins_.find(alias.unsafeGetTensorImpl()); it != twins_.end()) {
      lazy::memory_of(it->second.storage().unsafeGetStorageImpl())->version.fetch_add(1, std::memory_order_relaxed);
    }
  }

  at::Tensor hpu(const at::Tensor& result) {
    if (!result.defined() || !result.device().is_cpu()) {
      return result;
    }
    if (auto it = twins_.find(result.unsafeGetTensorImpl()); it != twins_.end()) {
      return it->second;
    }
    if (auto it = storages_.find(result.storage().unsafeGetStorageImpl()); it != storages_.end()) {  // a view of an argument
      return lazy::make_tensor(it->second.storage(), result.scalar_type(), result.sizes(), result.strides(), result.storage_offset());
    }
    const bool dense = result.is_non_overlapping_and_dense();
    at::Tensor fresh = dense ? lazy::make_tensor(device_, result.scalar_type(), result.sizes(), result.strides())
                             : lazy::make_tensor(device_, result.scalar_type(), result.sizes(), result.contiguous().strides());
    fresh.copy_(result);
    return fresh;
  }

  c10::DeviceIndex device_ = 0;

 private:
  std::unordered_map<const c10::TensorImpl*, at::Tensor> twins_;
  std::unordered_map<const c10::StorageImpl*, at::Tensor> storages_;
  std::vector<std::pair<at::Tensor, at::Tensor>> stand_ins_;
  std::vector<at::Tensor> kept_;  // pointers above stay unique while these live
};

}  // namespace

void run_now(const ir::OpInfo& info, const c10::OperatorHandle& handle, Stack* stack) {
  const c10::FunctionSchema& schema = handle.schema();
  const size_t n_args = schema.arguments().size();
  const size_t begin = stack->size() - n_args;
  lazy::forbid_host_in_capture(info.name);
  Twins twins;
  for (size_t i = 0; i < n_args; ++i) {
    c10::IValue& value = (*stack)[begin + i];
    const c10::Argument& argument = schema.arguments()[i];
    if (value.isTensor()) {
      const at::Tensor t = value.toTensor();
      value = argument.is_out() && on_hpu(t) ? twins.stand_in(t) : twins.cpu(t, info.name);
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : value.toTensorVector()) {
        list.push_back(twins.cpu(t, info.name));
      }
      value = std::move(list);
    } else if (value.isList() && !value.isIntList() && !value.isDoubleList() && !value.isBoolList()) {
      c10::List<std::optional<at::Tensor>> list;
      bool tensors = true;
      for (const c10::IValue& item : value.toListRef()) {
        tensors = tensors && (item.isNone() || item.isTensor());
        if (tensors) {
          list.push_back(item.isNone() ? std::nullopt : std::optional<at::Tensor>(twins.cpu(item.toTensor(), info.name)));
        }
      }
      if (tensors) {
        value = std::move(list);
      }
    } else if (value.isDevice() && value.toDevice().type() == c10::DeviceType::PrivateUse1) {
      twins.device_ = std::max<c10::DeviceIndex>(0, value.toDevice().index());
      value = c10::Device(c10::DeviceType::CPU);
    } else if (value.isGenerator() && value.toGenerator().defined() &&
               value.toGenerator().device().type() == c10::DeviceType::PrivateUse1) {
      value = c10::IValue();
    }
  }
  // A write through an alias is a host write: packed copies and other readers must see it.
  const bool writes = info.writes(c10::ArrayRef<c10::IValue>(*stack).slice(begin));
  for (uint32_t m : info.mutated) {
    const c10::IValue& value = (*stack)[begin + m];
    if (writes && value.isTensor() && value.toTensor().defined()) {
      twins.note_write(value.toTensor());
    }
  }
  handle.callBoxed(stack);
  twins.finish_outputs();
  const size_t n_returns = schema.returns().size();
  for (size_t i = stack->size() - n_returns; i < stack->size(); ++i) {
    c10::IValue& value = (*stack)[i];
    if (value.isTensor()) {
      value = twins.hpu(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : value.toTensorVector()) {
        list.push_back(twins.hpu(t));
      }
      value = std::move(list);
    }
  }
}

void run_dry(const c10::OperatorHandle& handle, Stack* stack) {
  auto zeros = [](const at::Tensor& t) {
    return on_hpu(t) ? at::empty_strided(t.sizes(), t.strides(), t.options().device(c10::kCPU)).zero_() : t;
  };
  for (c10::IValue& value : *stack) {
    if (value.isTensor()) {
      value = zeros(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& t : value.toTensorVector()) {
        list.push_back(zeros(t));
      }
      value = std::move(list);
    } else if (value.isDevice() && value.toDevice().type() == c10::DeviceType::PrivateUse1) {
      value = c10::Device(c10::DeviceType::CPU);
    }
  }
  handle.callBoxed(stack);
}

}  // namespace torch_hpu::aten
