// The page that binds the device to the dispatcher. Three kinds of kernels:
//   - a few of our own (kernels.h): factories, host copies, views;
//   - composites that we leave alone: they decompose into ops that reach us;
//   - the boxed kernel (boxed.h) for everything else, found in the dispatcher's own list of ops.
#include <torch/library.h>
#include <torch_hpu/metrics.h>

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_transformer_encoder_layer_fwd_native.h>

#include <mutex>
#include <unordered_map>
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
  static const std::unordered_set<std::string> names{
      "aten::copy_", "aten::_to_copy", "aten::empty_like", "aten::new_empty", "aten::new_empty_strided", "aten::_unsafe_view",
      "aten::empty.names", "aten::detach", "aten::detach_", "aten::alias", "aten::lift", "aten::lift_fresh", "aten::_fw_primal",
      "aten::_make_dual", "aten::resize_as_", "aten::_pin_memory", "aten::_has_same_storage_numel", "aten::clone_preserve",
      // fills of views
      "aten::diag_embed", "aten::diagonal_scatter", "aten::as_strided_scatter",
      // nodes that aten/ranges.cpp records by itself
      "aten::arange.start_step", "aten::range.step", "aten::linspace", "aten::logspace", "aten::eye.m"};
  return names;
}

// diagonal_copy, expand_copy ...: copies of views decompose into the view and a copy.
bool copies_a_view(const c10::OperatorName& name) {
  constexpr std::string_view suffix = "_copy";
  if (!std::string_view(name.name).ends_with(suffix)) {
    return false;
  }
  const auto view = c10::Dispatcher::singleton().findSchema({name.name.substr(0, name.name.size() - suffix.size()), name.overload_name});
  return view.has_value() && ir::op_info(*view).is_view;
}

bool wants_boxed(const c10::OperatorHandle& op, const ir::OpInfo& info) {
  const auto& name = op.operator_name();
  if (left_to_composites().count(info.name) != 0 || left_to_composites().count(name.name) != 0 || copies_a_view(name)) {
    return false;
  }
  if (info.is_view && info.mutated.empty()) {
    return !op.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd) &&
           !op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
  }
  if (op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd)) {
    // With a CPU kernel beside the composite one (silu_backward) it has a gradient formula of its own.
    return op.hasKernelForDispatchKey(c10::DispatchKey::CPU) && prefer_boxed(info);
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
                                                     "aten::as_strided_",
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
                                                     "aten::arange.start_out",
                                                     "aten::range.out",
                                                     "aten::linspace.out",
                                                     "aten::logspace.out",
                                                     "aten::eye.m_out",
                                                     "aten::kaiser_window",
                                                     "aten::kaiser_window.periodic",
                                                     "aten::kaiser_window.beta",
                                                     "aten::addbmm",
                                                     "aten::addbmm_",
                                                     "aten::randperm.generator_out",
                                                     "aten::masked_scatter_",
                                                     "aten::masked_scatter",
                                                     "aten::masked_scatter_backward",
                                                     "aten::repeat_interleave.Tensor",
                                                     "aten::trace",
                                                     "aten::max_unpool2d",
                                                     "aten::max_unpool3d",
                                                     "aten::_embedding_bag",
                                                     "aten::_embedding_bag_forward_only",
                                                     "aten::_embedding_bag_backward",
                                                     "aten::_embedding_bag_dense_backward",
                                                     "aten::_embedding_bag_per_sample_weights_backward",
                                                     "aten::grid_sampler_2d",
                                                     "aten::grid_sampler_3d",
                                                     "aten::grid_sampler_2d_backward",
                                                     "aten::grid_sampler_3d_backward",
                                                     "aten::_amp_foreach_non_finite_check_and_unscale_",
                                                     "aten::_amp_update_scale_",
                                                     "aten::_thnn_fused_lstm_cell",
                                                     "aten::_thnn_fused_lstm_cell_backward_impl",
                                                     "aten::_thnn_fused_gru_cell",
                                                     "aten::_thnn_fused_gru_cell_backward",
                                                     "aten::_fused_sdp_choice",
                                                     "aten::_scaled_dot_product_fused_attention_overrideable",
                                                     "aten::_native_multi_head_attention",
                                                     "aten::_transformer_encoder_layer_fwd",
                                                     "aten::rrelu_with_noise",
                                                     "aten::rrelu_with_noise_"};
  return names;
}

const char* class_of(const c10::OperatorHandle& op) {
  const ir::OpInfo& info = ir::op_info(op);
  if (own_kernels().count(info.name) != 0) {
    return "own";
  }
  if (!wants_boxed(op, info)) {
    return "composite";
  }
  switch ((info.functional != nullptr ? *info.functional : info).op_class) {
    case ir::OpClass::kLowered:
      return "lowered";
    case ir::OpClass::kLibrary:
      return "library";
    case ir::OpClass::kBreaking:
      return "breaking";
    case ir::OpClass::kExtern:
      break;
  }
  for (c10::DispatchKey key : {c10::DispatchKey::CPU, c10::DispatchKey::CompositeExplicitAutogradNonFunctional}) {
    if (op.hasKernelForDispatchKey(key)) {
      return "extern";
    }
  }
  return "unavailable";
}

}  // namespace
}  // namespace torch_hpu::aten

std::map<std::string, std::string> torch_hpu::op_classes() {
  std::map<std::string, std::string> classes;
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    const auto handle = dispatcher.findSchema(name);
    if (handle.has_value() && name.name.compare(0, 6, "aten::") == 0) {
      classes[ir::op_info(*handle).name.substr(6)] = aten::class_of(*handle);
    }
  }
  return classes;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  using namespace torch_hpu;
  aten::install_hooks();
  m.impl("empty.memory_format", TORCH_FN(aten::empty_memory_format));
  m.impl("empty_strided", TORCH_FN(aten::empty_strided));
  m.impl("_copy_from", TORCH_FN(aten::copy_from));
  m.impl("_copy_from_and_resize", TORCH_FN(aten::copy_from_and_resize));
  m.impl("_local_scalar_dense", TORCH_FN(aten::local_scalar_dense));
  m.impl("as_strided", TORCH_FN(aten::as_strided));
  m.impl("as_strided_", TORCH_FN(aten::as_strided_));
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
  m.impl("arange.start_out", TORCH_FN(aten::arange_out));
  m.impl("range.out", TORCH_FN(aten::range_out));
  m.impl("linspace.out", TORCH_FN(aten::linspace_out));
  m.impl("logspace.out", TORCH_FN(aten::logspace_out));
  m.impl("eye.m_out", TORCH_FN(aten::eye_out));
  m.impl("kaiser_window", TORCH_FN(aten::kaiser_window));
  m.impl("kaiser_window.periodic", TORCH_FN(aten::kaiser_window_periodic));
  m.impl("kaiser_window.beta", TORCH_FN(aten::kaiser_window_beta));
  m.impl("addbmm", TORCH_FN(aten::addbmm));
  m.impl("addbmm_", TORCH_FN(aten::addbmm_));
  m.impl("randperm.generator_out", TORCH_FN(aten::randperm_out));
  m.impl("masked_scatter_", TORCH_FN(aten::masked_scatter_));
  m.impl("masked_scatter", TORCH_FN(aten::masked_scatter));
  m.impl("masked_scatter_backward", TORCH_FN(aten::masked_scatter_backward));
  m.impl("repeat_interleave.Tensor", TORCH_FN(aten::repeat_interleave));
  m.impl("trace", TORCH_FN(aten::trace));
  m.impl("max_unpool2d", TORCH_FN(aten::max_unpool2d));
  m.impl("max_unpool3d", TORCH_FN(aten::max_unpool3d));
  m.impl("_embedding_bag", TORCH_FN(aten::embedding_bag));
  m.impl("_embedding_bag_forward_only", TORCH_FN(aten::embedding_bag));
  m.impl("_embedding_bag_backward", TORCH_FN(aten::embedding_bag_backward));
  m.impl("_embedding_bag_dense_backward", TORCH_FN(aten::embedding_bag_dense_backward));
  m.impl("_embedding_bag_per_sample_weights_backward", TORCH_FN(aten::embedding_bag_per_sample_weights_backward));
  m.impl("grid_sampler_2d", TORCH_FN(aten::grid_sampler_2d));
  m.impl("grid_sampler_3d", TORCH_FN(aten::grid_sampler_3d));
  m.impl("grid_sampler_2d_backward", TORCH_FN(aten::grid_sampler_backward));
  m.impl("grid_sampler_3d_backward", TORCH_FN(aten::grid_sampler_backward));
  m.impl("_amp_foreach_non_finite_check_and_unscale_", TORCH_FN(aten::amp_unscale_));
  m.impl("_amp_update_scale_", TORCH_FN(aten::amp_update_scale_));
  m.impl("_thnn_fused_lstm_cell", TORCH_FN(aten::fused_lstm_cell));
  m.impl("_thnn_fused_lstm_cell_backward_impl", TORCH_FN(aten::fused_lstm_cell_backward_impl));
  m.impl("_thnn_fused_gru_cell", TORCH_FN(aten::fused_gru_cell));
  m.impl("_thnn_fused_gru_cell_backward", TORCH_FN(aten::fused_gru_cell_backward));
  m.impl("_fused_sdp_choice", TORCH_FN(aten::choose_attention));
  m.impl("_scaled_dot_product_fused_attention_overrideable", TORCH_FN(aten::fused_attention));
  m.impl("_native_multi_head_attention", TORCH_FN(aten::native_multi_head_attention));
  m.impl("_transformer_encoder_layer_fwd", TORCH_FN(at::native::transformer_encoder_layer_forward));
  m.impl("rrelu_with_noise", TORCH_FN(aten::rrelu_with_noise));
  m.impl("rrelu_with_noise_", TORCH_FN(aten::rrelu_with_noise_));

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

// Ops of other libraries (custom ops): their kernels are made at the first call. An op that is dropped and defined anew has a new info.
const torch_hpu::aten::BoxedKernel& custom_kernel(const c10::OperatorHandle& op) {
  static auto* mutex = new std::mutex;
  static auto* kernels = new std::unordered_map<const torch_hpu::ir::OpInfo*, std::unique_ptr<const torch_hpu::aten::BoxedKernel>>;
  const torch_hpu::ir::OpInfo& info = torch_hpu::ir::op_info(op);
  std::lock_guard<std::mutex> lock(*mutex);
  auto& kernel = (*kernels)[&info];
  if (kernel == nullptr) {
    kernel = std::make_unique<const torch_hpu::aten::BoxedKernel>(op);
  }
  return *kernel;
}

void fallback(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  custom_kernel(op)(op, keys, stack);
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
