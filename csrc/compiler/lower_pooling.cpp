// Pooling over N spatial dims; arguments behind the tensors are kernel, stride, padding ...
#include "csrc/compiler/library_calls.h"

namespace torch_hpu::compiler {
namespace {

using kernels::Primitive;

template <size_t N>
std::vector<int64_t> window_ints(const LoweringContext& c, size_t kernel, bool dilation) {
  const std::vector<int64_t> size = int_list(c, kernel, N);
  std::vector<int64_t> ints{static_cast<int64_t>(N)};
  for (const auto& list : {size, int_list(c, kernel + 1, N, size), int_list(c, kernel + 2, N)}) {
    ints.insert(ints.end(), list.begin(), list.end());
  }
  if (dilation) {
    const auto list = int_list(c, kernel + 3, N);
    ints.insert(ints.end(), list.begin(), list.end());
  }
  ints.push_back(c.node.args[kernel + (dilation ? 4 : 3)].value.toBool());  // ceil_mode
  return ints;
}

template <size_t N>
bool lower_max_pool(LoweringContext& c) {  // (self, kernel, stride, padding, dilation, ceil_mode)
  if (!plain_windows(c) || c.node.writes[0] == ir::kNone) {
    return false;
  }
  CallBuilder builder(c, Primitive::kMaxPool);
  builder.call.reads = {builder.argument(0)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype), builder.destination(1, c10::ScalarType::Long)};
  builder.call.ints = window_ints<N>(c, 1, true);
  return builder.commit();
}

template <size_t N>
bool lower_max_pool_backward(LoweringContext& c) {  // (grad_output, self, kernel, stride, padding, dilation, ceil_mode, indices)
  if (!plain_windows(c)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kMaxPoolBackward);
  builder.call.reads = {builder.argument(0), builder.argument(7)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype)};
  builder.call.ints = window_ints<N>(c, 2, true);
  return builder.commit();
}

template <size_t N>
bool lower_adaptive_max_pool(LoweringContext& c) {  // (self, output_size)
  if (!plain_windows(c) || c.node.writes[0] == ir::kNone) {
    return false;
  }
  CallBuilder builder(c, Primitive::kMaxPool);
  builder.call.reads = {builder.argument(0)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype), builder.destination(1, c10::ScalarType::Long)};
  builder.call.ints = {static_cast<int64_t>(N)};
  return builder.commit();
}

template <size_t N>
bool lower_adaptive_max_pool_backward(LoweringContext& c) {  // (grad_output, self, indices)
  if (!plain_windows(c)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kMaxPoolBackward);
  builder.call.reads = {builder.argument(0), builder.argument(2)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype)};
  builder.call.ints = {static_cast<int64_t>(N)};
  return builder.commit();
}

// (self, kernel, stride, padding, ceil_mode, count_include_pad, divisor?); backward: (grad_output, self, kernel ...)
template <size_t N, bool Backward>
bool lower_avg_pool(LoweringContext& c) {
  if (!plain_windows(c)) {
    return false;
  }
  constexpr size_t kernel = Backward ? 2 : 1;
  CallBuilder builder(c, Backward ? Primitive::kAvgPoolBackward : Primitive::kAvgPool);
  builder.call.reads = {builder.argument(0)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype)};
  builder.call.ints = window_ints<N>(c, kernel, false);
  builder.call.ints.push_back(c.node.args[kernel + 4].value.toBool());
  const ir::Arg& divisor = c.node.args[kernel + 5];
  builder.call.ints.push_back(divisor.is_none() ? 0 : divisor.value.toInt());
  return builder.commit();
}

template <size_t N, bool Backward>
bool lower_adaptive_avg_pool(LoweringContext& c) {  // (self, output_size); backward: (grad_output, self)
  if (!plain_windows(c)) {
    return false;
  }
  CallBuilder builder(c, Backward ? Primitive::kAdaptiveAvgPoolBackward : Primitive::kAdaptiveAvgPool);
  builder.call.reads = {builder.argument(0)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype)};
  builder.call.ints = {static_cast<int64_t>(N)};
  return builder.commit();
}

}  // namespace

std::vector<LoweringRow> pooling_lowerings() {
  return {
      {"max_pool2d_with_indices", &lower_max_pool<2>},
      {"max_pool2d_with_indices_backward", &lower_max_pool_backward<2>},
      {"max_pool3d_with_indices", &lower_max_pool<3>},
      {"max_pool3d_with_indices_backward", &lower_max_pool_backward<3>},
      {"avg_pool2d", &lower_avg_pool<2, false>},
      {"avg_pool2d_backward", &lower_avg_pool<2, true>},
      {"avg_pool3d", &lower_avg_pool<3, false>},
      {"avg_pool3d_backward", &lower_avg_pool<3, true>},
      {"adaptive_max_pool2d", &lower_adaptive_max_pool<2>},
      {"adaptive_max_pool2d_backward", &lower_adaptive_max_pool_backward<2>},
      {"adaptive_max_pool3d", &lower_adaptive_max_pool<3>},
      {"adaptive_max_pool3d_backward", &lower_adaptive_max_pool_backward<3>},
      {"_adaptive_avg_pool2d", &lower_adaptive_avg_pool<2, false>},
      {"_adaptive_avg_pool2d_backward", &lower_adaptive_avg_pool<2, true>},
      {"_adaptive_avg_pool3d", &lower_adaptive_avg_pool<3, false>},
      {"_adaptive_avg_pool3d_backward", &lower_adaptive_avg_pool<3, true>},
  };
}

}  // namespace torch_hpu::compiler
