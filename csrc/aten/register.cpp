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

// Ops for which this file binds a kernel of its own: filled while the kernels are bound.
std::unordered_set<std::string>& own_kernels() {
  static std::unordered_set<std::string> names;
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
  const auto own = [&](const char* name, auto kernel) {
    m.impl(name, kernel);
    aten::own_kernels().insert(std::string("aten::") + name);
  };
  own("empty.memory_format", TORCH_FN(aten::empty_memory_format));
  own("empty_strided", TORCH_FN(aten::empty_strided));
  own("_copy_from", TORCH_FN(aten::copy_from));
  own("_copy_from_and_resize", TORCH_FN(aten::copy_from_and_resize));
  own("_local_scalar_dense", TORCH_FN(aten::local_scalar_dense));
  own("as_strided", TORCH_FN(aten::as_strided));
  own("as_strided_", TORCH_FN(aten::as_strided_));
  own("view", TORCH_FN(aten::view));
  own("_reshape_alias", TORCH_FN(aten::reshape_alias));
  own("unfold", TORCH_FN(aten::unfold));
  own("view_as_real", TORCH_FN(aten::view_as_real));
  own("view_as_complex", TORCH_FN(aten::view_as_complex));
  own("resize_", TORCH_FN(aten::resize_));
  own("set_.source_Storage", TORCH_FN(aten::set_source_storage));
  own("set_.source_Storage_storage_offset", TORCH_FN(aten::set_source_storage_offset));
  own("set_.source_Tensor", TORCH_FN(aten::set_source_tensor));
  own("set_", TORCH_FN(aten::set_empty));
  own("is_set_to", TORCH_FN(aten::is_set_to));
  own("_has_compatible_shallow_copy_type", TORCH_FN(aten::has_compatible_shallow_copy_type));
  own("record_stream", TORCH_FN(aten::record_stream));
  own("arange.start_out", TORCH_FN(aten::arange_out));
  own("range.out", TORCH_FN(aten::range_out));
  own("linspace.out", TORCH_FN(aten::linspace_out));
  own("logspace.out", TORCH_FN(aten::logspace_out));
  own("eye.m_out", TORCH_FN(aten::eye_out));
  own("kaiser_window", TORCH_FN(aten::kaiser_window));
  own("kaiser_window.periodic", TORCH_FN(aten::kaiser_window_periodic));
  own("kaiser_window.beta", TORCH_FN(aten::kaiser_window_beta));
  own("addbmm", TORCH_FN(aten::addbmm));
  own("addbmm_", TORCH_FN(aten::addbmm_));
  own("randperm.generator_out", TORCH_FN(aten::randperm_out));
  own("masked_scatter_", TORCH_FN(aten::masked_scatter_));
  own("masked_scatter", TORCH_FN(aten::masked_scatter));
  own("masked_scatter_backward", TORCH_FN(aten::masked_scatter_backward));
  own("repeat_interleave.Tensor", TORCH_FN(aten::repeat_interleave));
  own("trace", TORCH_FN(aten::trace));
  own("max_unpool2d", TORCH_FN(aten::max_unpool2d));
  own("max_unpool3d", TORCH_FN(aten::max_unpool3d));
  own("_embedding_bag", TORCH_FN(aten::embedding_bag));
  own("_embedding_bag_forward_only", TORCH_FN(aten::embedding_bag));
  own("_embedding_bag_backward", TORCH_FN(aten::embedding_bag_backward));
  own("_embedding_bag_dense_backward", TORCH_FN(aten::embedding_bag_dense_backward));
  own("_embedding_bag_per_sample_weights_backward", TORCH_FN(aten::embedding_bag_per_sample_weights_backward));
  own("grid_sampler_2d", TORCH_FN(aten::grid_sampler_2d));
  own("grid_sampler_3d", TORCH_FN(aten::grid_sampler_3d));
  own("grid_sampler_2d_backward", TORCH_FN(aten::grid_sampler_backward));
  own("grid_sampler_3d_backward", TORCH_FN(aten::grid_sampler_backward));
  own("_amp_foreach_non_finite_check_and_unscale_", TORCH_FN(aten::amp_unscale_));
  own("_amp_update_scale_", TORCH_FN(aten::amp_update_scale_));
  own("_thnn_fused_lstm_cell", TORCH_FN(aten::fused_lstm_cell));
  own("_thnn_fused_lstm_cell_backward_impl", TORCH_FN(aten::fused_lstm_cell_backward_impl));
  own("_thnn_fused_gru_cell", TORCH_FN(aten::fused_gru_cell));
  own("_thnn_fused_gru_cell_backward", TORCH_FN(aten::fused_gru_cell_backward));
  own("_fused_sdp_choice", TORCH_FN(aten::choose_attention));
  own("_scaled_dot_product_fused_attention_overrideable", TORCH_FN(aten::fused_attention));
  own("_native_multi_head_attention", TORCH_FN(aten::native_multi_head_attention));
  own("_transformer_encoder_layer_fwd", TORCH_FN(at::native::transformer_encoder_layer_forward));
  own("rrelu_with_noise", TORCH_FN(aten::rrelu_with_noise));
  own("rrelu_with_noise_", TORCH_FN(aten::rrelu_with_noise_));

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
