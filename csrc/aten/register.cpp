// The page that binds the device to the dispatcher. Three kinds of kernels:
//   - a few of our own (kernels.h): factories, host copies, views;
//   - composites that we leave alone: they decompose into ops that reach us;
//   - the boxed kernel (boxed.h) for everything else, found in the dispatcher's own list of ops.
#include <torch/library.h>

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_transformer_encoder_layer_fwd_native.h>

#include <unordered_set>

#include "csrc/aten/boxed.h"
#include "csrc/aten/hooks.h"
#include "csrc/aten/kernels.h"
#include "csrc/ir/op_registry.h"

namespace torch_hpu::aten {
namespace {

// Ops with a composite kernel that would bypass the recorder's better view of them: the boxed kernel takes them although they could
// decompose.
bool prefer_boxed(const ir::OpInfo& info) {
  const ir::OpInfo& functional = info.functional != nullptr ? *info.functional : info;
  return functional.op_class == ir::OpClass::kLowered || functional.op_class == ir::OpClass::kLibrary;
}

// Composites whose decomposition is what we want: plain allocation and moves (they reach empty and _copy_from).
const std::unordered_set<std::string>& left_to_composites() {
  static const std::unordered_set<std::string> names{"aten::copy_",
                                                     "aten::_to_copy",
                                                     "aten::empty_like",
                                                     "aten::new_empty",
                                                     "aten::new_empty_strided",
                                                     "aten::_unsafe_view",
                                                     "aten::empty.names",
                                                     "aten::detach",
                                                     "aten::detach_",
                                                     "aten::alias",
                                                     "aten::lift",
                                                     "aten::lift_fresh",
                                                     "aten::_fw_primal",
                                                     "aten::_make_dual",
                                                     "aten::resize_as_",
                                                     "aten::_pin_memory",
                                                     "aten::_has_same_storage_numel",
                                                     "aten::clone_preserve"};
  return names;
}

bool wants_boxed(const c10::OperatorHandle& op, const ir::OpInfo& info) {
  const auto& name = op.operator_name();
  if (left_to_composites().count(info.name) != 0 || left_to_composites().count(name.name) != 0) {
    return false;
  }
  if (info.is_view && info.mutated.empty()) {
    return !op.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd) &&
           !op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
  }
  if (op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd)) {
    return false;
  }
  if (op.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd)) {
    return prefer_boxed(info);
  }
  return true;
}

// Ops for which this file binds a kernel of its own.
const std::unordered_set<std::string>& own_kernels() {
  static const std::unordered_set<std::string> names{"aten::empty.memory_format",
                                                     "aten::empty_strided",
                                                     "aten::_copy_from",
                                                     "aten::_copy_from_and_resize",
                                                     "aten::_local_scalar_dense",
                                                     "aten::as_strided",
                                                     "aten::view",
                                                     "aten::_reshape_alias",
                                                     "aten::unfold",
                                                     "aten::view_as_real",
                                                     "aten::view_as_complex",
                                                     "aten::resize_",
                                                     "aten::set_.source_Storage",
                                                     "aten::set_.source_Storage_storage_offset",
                                                     "aten::set_.source_Tensor",
                                                     "aten::set_",
                                                     "aten::is_set_to",
                                                     "aten::_has_compatible_shallow_copy_type",
                                                     "aten::record_stream",
                                                     "aten::_thnn_fused_lstm_cell",
                                                     "aten::_thnn_fused_lstm_cell_backward_impl",
                                                     "aten::_thnn_fused_gru_cell",
                                                     "aten::_thnn_fused_gru_cell_backward",
                                                     "aten::_fused_sdp_choice",
                                                     "aten::_scaled_dot_product_fused_attention_overrideable",
                                                     "aten::_native_multi_head_attention",
                                                     "aten::_transformer_encoder_layer_fwd"};
  return names;
}

}  // namespace
}  // namespace torch_hpu::aten

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  using namespace torch_hpu;
  aten::install_hooks();
  m.impl("empty.memory_format", TORCH_FN(aten::empty_memory_format));
  m.impl("empty_strided", TORCH_FN(aten::empty_strided));
  m.impl("_copy_from", TORCH_FN(aten::copy_from));
  m.impl("_copy_from_and_resize", TORCH_FN(aten::copy_from_and_resize));
  m.impl("_local_scalar_dense", TORCH_FN(aten::local_scalar_dense));
  m.impl("as_strided", TORCH_FN(aten::as_strided));
  m.impl("view", TORCH_FN(aten::view));
  m.impl("_reshape_alias", TORCH_FN(aten::reshape_alias));
  m.impl("unfold", TORCH_FN(aten::unfold));
  m.impl("view_as_real", TORCH_FN(aten::view_as_real));
  m.impl("view_as_complex", TORCH_FN(aten::view_as_complex));
  m.impl("resize_", TORCH_FN(aten::resize_));
  m.impl("set_.source_Storage", TORCH_FN(aten::set_source_storage));
  m.impl("set_.source_Storage_storage_offset", TORCH_FN(aten::set_source_storage_offset));
  m.impl("set_.source_Tensor", TORCH_FN(aten::set_source_tensor));
  m.impl("set_", TORCH_FN(aten::set_empty));
  m.impl("is_set_to", TORCH_FN(aten::is_set_to));
  m.impl("_has_compatible_shallow_copy_type", TORCH_FN(aten::has_compatible_shallow_copy_type));
  m.impl("record_stream", TORCH_FN(aten::record_stream));
  m.impl("_thnn_fused_lstm_cell", TORCH_FN(aten::fused_lstm_cell));
  m.impl("_thnn_fused_lstm_cell_backward_impl", TORCH_FN(aten::fused_lstm_cell_backward_impl));
  m.impl("_thnn_fused_gru_cell", TORCH_FN(aten::fused_gru_cell));
  m.impl("_thnn_fused_gru_cell_backward", TORCH_FN(aten::fused_gru_cell_backward));
  m.impl("_fused_sdp_choice", TORCH_FN(aten::choose_attention));
  m.impl("_scaled_dot_product_fused_attention_overrideable", TORCH_FN(aten::fused_attention));
  m.impl("_native_multi_head_attention", TORCH_FN(aten::native_multi_head_attention));
  m.impl("_transformer_encoder_layer_fwd", TORCH_FN(at::native::transformer_encoder_layer_forward));

  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    if (name.name.compare(0, 6, "aten::") != 0) {
      continue;
    }
    const auto handle = dispatcher.findSchema(name);
    if (!handle.has_value()) {
      continue;
    }
    const ir::OpInfo& info = ir::op_info(*handle);
    if (aten::own_kernels().count(info.name) != 0 || !aten::wants_boxed(*handle, info)) {
      continue;
    }
    const std::string local = info.name.substr(6);
    m.impl(local.c_str(), torch::CppFunction::makeFromBoxedFunctor(std::make_unique<aten::BoxedKernel>(*handle)));
  }
}

namespace {

// Ops of other libraries (custom ops): known to the registry at their first call. Python kernels run inline, on the calling thread.
void fallback(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  const torch_hpu::aten::BoxedKernel kernel(op);
  kernel(op, keys, stack);
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

namespace {

// The in-tree device type that shares this backend's name.
void in_tree_type(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack*) {
  TORCH_CHECK(false, "[", op.operator_name(),
              "] torch::kHPU names PyTorch's in-tree HPU device type, which belongs to another backend. Tensors of"
              " this one live on torch_hpu::kDevice (include <torch_hpu/device.h>) or torch::Device(\"hpu\").");
}

}  // namespace

TORCH_LIBRARY_IMPL(_, HPU, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&in_tree_type>());
}
