#include "csrc/aten/custom_op.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/stack.h>

#include "csrc/ir/op_registry.h"

namespace torch_hpu::aten {
namespace {

at::Tensor meta_twin(const at::Tensor& t) {
  if (!t.defined()) {
    return t;
  }
  at::Tensor twin(at::detail::empty_strided_meta(t.sizes(), t.strides(), t.scalar_type()));
  if (t.unsafeGetTensorImpl()->is_wrapped_number()) {
    twin.unsafeGetTensorImpl()->set_wrapped_number(true);
  }
  twin._set_conj(t.is_conj());
  twin._set_neg(t.is_neg());
  return twin;
}

c10::IValue meta_argument(const c10::IValue& value) {
  if (value.isTensor()) {
    return meta_twin(value.toTensor());
  }
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& t : value.toTensorVector()) {
      list.push_back(meta_twin(t));
    }
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& t : value.toOptionalTensorVector()) {
      list.push_back(t ? std::optional<at::Tensor>(meta_twin(*t)) : std::nullopt);
    }
    return list;
  }
  if (value.isDevice() && value.toDevice().type() == c10::DeviceType::PrivateUse1) {
    return c10::Device(c10::DeviceType::Meta);
  }
  return value;
}

}  // namespace

std::shared_ptr<const lazy::Metas> ask_meta(const ir::OpInfo& op, const lazy::Call& call, c10::ArrayRef<c10::IValue> arguments,
                                            size_t aliased) {
  if (!op.handle.hasKernelForDispatchKey(c10::DispatchKey::Meta)) {
    return nullptr;
  }
  torch::jit::Stack stack;
  for (const c10::IValue& value : arguments) {
    stack.push_back(meta_argument(value));
  }
  try {
    op.handle.callBoxedForDispatchKey(c10::DispatchKey::Meta, stack);
  } catch (const std::exception&) {
    return nullptr;  // the real kernel says better what is wrong, if anything is
  }
  lazy::Metas metas = metas_of_returns(stack, op.handle.schema().returns().size() - aliased);
  if (call.scalars.empty() && !ir::kernel_is_python(op.handle, c10::DispatchKey::Meta)) {
    lazy::learn(call, metas);
  }
  return std::make_shared<const lazy::Metas>(std::move(metas));
}

lazy::Metas metas_of_returns(c10::ArrayRef<c10::IValue> stack, size_t n) {
  lazy::Metas metas(n);
  for (size_t i = 0; i < n; ++i) {
    const at::Tensor& t = stack[stack.size() - n + i].toTensor();
    ir::TensorMeta& m = metas[i];
    m.defined = t.defined();
    if (m.defined) {
      m.dtype = t.scalar_type();
      m.sizes.assign(t.sizes().begin(), t.sizes().end());
      m.strides.assign(t.strides().begin(), t.strides().end());
    }
  }
  return metas;
}

}  // namespace torch_hpu::aten
