// Nodes that become library calls: products, convolutions, attention, pooling, scatters.
#include <ATen/WrapDimUtils.h>

#include <cmath>

#include "csrc/compiler/library_calls.h"
#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using kernels::Operand;
using kernels::Primitive;

bool is_tensor(const LoweringContext& c, size_t i) {
  return c.node.args[i].kind == ir::Arg::Kind::kWindow;
}

// ---- products

// [.., n] as [.., n, 1], or as [.., 1, n].
Operand as_column(Operand o) {
  o.sizes.push_back(1);
  o.strides.push_back(1);
  return o;
}
Operand as_row(Operand o) {
  o.sizes.insert(o.sizes.end() - 1, 1);
  o.strides.insert(o.strides.end() - 1, o.sizes.back() * std::max<int64_t>(o.strides.back(), 1));
  return o;
}
Operand transposed(Operand o) {
  std::swap(o.sizes.end()[-1], o.sizes.end()[-2]);
  std::swap(o.strides.end()[-1], o.strides.end()[-2]);
  return o;
}

// Whether a product can read or write a matrix as it lies: one of its dims is contiguous, none is repeated.
bool suits_product(const Operand& o) {
  const size_t n = o.sizes.size();
  if (n < 2) {
    return true;  // a vector becomes a row or a column
  }
  const int64_t rows = o.sizes[n - 2], cols = o.sizes[n - 1], row = o.strides[n - 2], col = o.strides[n - 1];
  return (col == 1 || row == 1 || rows == 1 || cols == 1) && (col != 0 || cols == 1) && (row != 0 || rows == 1);
}

// The roles of a product: how the node's operands become matrices.
struct Product {
  Operand (*a)(Operand) = nullptr;  // null: as it is
  Operand (*b)(Operand) = nullptr;
  Operand (*out)(Operand) = nullptr;
  size_t first = 0;                      // argument of a; b follows
  int bias = -1, beta = -1, alpha = -1;  // arguments, -1: none
};

Operand shaped(Operand (*f)(Operand), const Operand& o) {
  return f == nullptr ? o : f(o);
}

// Alpha and beta as run-time arguments; false for complex ones. -1: the op has none.
bool factors(const LoweringContext& c, const Product& p, kernels::LibraryCall& call) {
  for (int argument : {p.alpha, p.beta}) {
    if (argument < 0) {
      continue;
    }
    const ir::Arg& arg = c.node.args[static_cast<size_t>(argument)];
    if (arg.kind != ir::Arg::Kind::kScalar || c.graph.scalars[arg.index].category == ir::ScalarCategory::kComplex) {
      return false;
    }
    call.scalars.push_back(arg.index);
    call.floats.push_back(c.graph.scalars[arg.index].category == ir::ScalarCategory::kFloat ? 0 : 1);
  }
  return true;
}

bool lower_product(LoweringContext& c, const Product& p) {
  if (!plain_windows(c) || !is_tensor(c, p.first) || !is_tensor(c, p.first + 1) || c.node.writes[0] == ir::kNone) {
    return false;
  }
  CallBuilder builder(c, Primitive::kMatmul);
  const bool has_bias = p.bias >= 0 && !c.node.args[static_cast<size_t>(p.bias)].is_none();
  if (!factors(c, p, builder.call) || (has_bias && !is_tensor(c, static_cast<size_t>(p.bias)))) {
    return false;
  }
  const c10::ScalarType dtype = c.window(p.first).dtype;
  for (size_t i : {p.first, p.first + 1}) {
    const Operand o = shaped(i == p.first ? p.a : p.b, builder.argument(i));
    builder.call.reads.push_back(suits_product(o) ? o : builder.dense(o));
  }
  Operand bias;
  bool accumulate = false;
  if (has_bias) {
    const auto i = static_cast<size_t>(p.bias);
    // In place, self is what out holds already.
    const ir::Window &self = c.window(i), &out = c.write(0);
    accumulate = self.buffer == out.buffer && self.offset == out.offset && self.dtype == out.dtype && self.sizes == out.sizes &&
                 self.strides == out.strides && self.dtype == dtype && self.buffer != c.window(p.first).buffer &&
                 self.buffer != c.window(p.first + 1).buffer && suits_product(builder.operand(c.node.writes[0]));
    bias = accumulate ? Operand{} : builder.argument(i);
  }
  builder.call.reads.push_back(bias.buffer == ir::kNone ? bias : shaped(p.out, bias));
  const Operand out = accumulate ? builder.operand(c.node.writes[0]) : builder.destination(0, dtype, suits_product);
  builder.call.writes.push_back(shaped(p.out, out));
  builder.call.ints = {accumulate};
  if (accumulate) {
    builder.call.reads.push_back(builder.call.writes[0]);  // so that passes see the old bytes being used
  }
  return builder.commit();
}

bool lower_mm(LoweringContext& c) {  // (self, mat2); also bmm
  return lower_product(c, {});
}
bool lower_addmm(LoweringContext& c) {  // (self, mat1, mat2, beta, alpha); also baddbmm
  return lower_product(c, {.first = 1, .bias = 0, .beta = 3, .alpha = 4});
}
bool lower_mv(LoweringContext& c) {  // (self, vec)
  return lower_product(c, {.b = as_column, .out = as_column});
}
bool lower_addmv(LoweringContext& c) {  // (self, mat, vec, beta, alpha)
  return c.window(0).sizes.size() == 1 &&
         lower_product(c, {.b = as_column, .out = as_column, .first = 1, .bias = 0, .beta = 3, .alpha = 4});
}
bool lower_dot(LoweringContext& c) {  // (self, tensor); also vdot
  return lower_product(c, {.a = as_row, .b = as_column, .out = [](Operand o) { return as_column(as_column(o)); }});
}
bool lower_linear(LoweringContext& c) {  // (input, weight, bias?)
  return c.window(0).sizes.size() >= 2 && c.window(1).sizes.size() == 2 && lower_product(c, {.b = transposed, .bias = 2});
}

// ---- convolutions

// stride, padding, dilation, transposed, output_padding, groups: arguments from `first` on.
std::vector<int64_t> convolution_ints(const LoweringContext& c, size_t first, size_t n) {
  std::vector<int64_t> ints{static_cast<int64_t>(n)};
  for (size_t i : {first, first + 1, first + 2, first + 4}) {
    const auto list = int_list(c, i, n);
    ints.insert(ints.end(), list.begin(), list.end());
  }
  ints.push_back(c.node.args[first + 3].value.toBool());
  ints.push_back(c.node.args[first + 5].value.toInt());
  return ints;
}

bool lower_convolution(LoweringContext& c) {  // (input, weight, bias?, stride, padding, dilation, transposed, output_padding, groups)
  if (!plain_windows(c) || c.window(0).sizes.size() < 3) {
    return false;
  }
  CallBuilder builder(c, Primitive::kConvolution);
  builder.call.reads = {builder.argument(0), builder.argument(1), builder.argument(2)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype)};
  builder.call.ints = convolution_ints(c, 3, c.window(0).sizes.size() - 2);
  return builder.commit();
}

// The gradient of a bias: grad_output summed over all dims but the channels.
void lower_bias_gradient(LoweringContext& c, size_t write) {
  const ir::Window& g = c.window(0);
  codegen::DimVector sizes{g.sizes[1]}, strides{g.strides[1]}, out{c.write(write).strides[0]};
  for (size_t d = 0; d < g.sizes.size(); ++d) {
    if (d != 1) {
      sizes.push_back(g.sizes[d]);
      strides.push_back(g.strides[d]);
      out.push_back(0);
    }
  }
  LoopBuilder b(c, "bias_gradient", sizes, 1);
  b.store(c.node.writes[write], out, sum(b.load(c.node.args[0].index, strides)));
  b.finish();
}

// (grad_output, input, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups, output_mask)
bool lower_convolution_backward(LoweringContext& c) {
  if (!plain_windows(c) || c.window(1).sizes.size() < 3) {
    return false;
  }
  for (size_t i = 0; i < c.node.writes.size(); ++i) {
    for (size_t a = 0; a < 3; ++a) {
      if (c.node.writes[i] != ir::kNone && c.write(i).buffer == c.window(a).buffer) {
        return false;  // all reads happen before all writes, but these are several items
      }
    }
  }
  const size_t first = c.program.items.size(), buffers = c.program.buffers.size();
  const std::vector<int64_t> ints = convolution_ints(c, 4, c.window(1).sizes.size() - 2);
  for (size_t i = 0; i < 2; ++i) {
    if (c.node.writes[i] == ir::kNone) {
      continue;
    }
    CallBuilder builder(c, i == 0 ? Primitive::kConvolutionBackwardInput : Primitive::kConvolutionBackwardWeight);
    builder.call.reads = {builder.argument(0), builder.argument(i == 0 ? 2 : 1)};
    builder.call.writes = {builder.destination(i, c.window(0).dtype)};
    builder.call.ints = ints;
    if (!builder.commit()) {
      c.program.items.resize(first);
      c.program.buffers.resize(buffers);
      return false;
    }
  }
  if (c.node.writes[2] != ir::kNone) {
    lower_bias_gradient(c, 2);
  }
  return true;
}

// ---- attention

// A number that the recorder made structure: none gives `otherwise`.
bool constant_number(const LoweringContext& c, size_t i, double otherwise, double& value) {
  const ir::Arg& arg = c.node.args[i];
  value = otherwise;
  if (arg.kind == ir::Arg::Kind::kConst) {
    value = arg.value.toDouble();
  }
  return arg.is_none() || arg.kind == ir::Arg::Kind::kConst;
}

// Whether nothing but the first n returns is wanted.
bool only_first_writes(const LoweringContext& c, size_t n) {
  for (size_t i = n; i < c.node.writes.size(); ++i) {
    if (c.node.writes[i] != ir::kNone && c.write(i).numel() > 0) {
      return false;
    }
  }
  return true;
}

// (query, key, value, attn_bias?, dropout_p, is_causal, return_debug_mask, scale?)
bool lower_attention(LoweringContext& c) {
  double dropout = 0, scale = 0;
  if (!plain_windows(c) || c.window(0).sizes.size() != 4 || !constant_number(c, 4, 0, dropout) || dropout != 0 ||
      !constant_number(c, 7, 1 / std::sqrt(static_cast<double>(c.window(0).sizes[3])), scale) || !only_first_writes(c, 2)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kAttention);
  builder.call.reads = {builder.argument(0), builder.argument(1), builder.argument(2), builder.argument(3)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype), builder.destination(1, c10::ScalarType::Float)};
  builder.call.ints = {c.node.args[5].value.toBool()};
  builder.call.floats = {scale};
  return builder.commit();
}

// (grad_out, query, key, value, attn_bias, grad_input_mask, out, logsumexp, cum_seq_q, cum_seq_k, max_q, max_k, dropout_p, is_causal, philox_seed,
//  philox_offset, scale?)
bool lower_attention_backward(LoweringContext& c) {
  double dropout = 0, scale = 0;
  if (!plain_windows(c) || c.window(1).sizes.size() != 4 || !constant_number(c, 12, 0, dropout) || dropout != 0 ||
      !constant_number(c, 16, 1 / std::sqrt(static_cast<double>(c.window(1).sizes[3])), scale) || !only_first_writes(c, 3)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kAttentionBackward);
  for (size_t i : {0, 1, 2, 3, 4, 6, 7}) {
    builder.call.reads.push_back(builder.argument(i));
  }
  const auto rows = [](const Operand& o) { return o.strides[3] == 1; };
  for (size_t i = 0; i < 3; ++i) {
    if (c.node.writes[i] == ir::kNone) {
      return false;
    }
    builder.call.writes.push_back(builder.destination(i, c.window(1).dtype, rows));
  }
  builder.call.ints = {c.node.args[13].value.toBool()};
  builder.call.floats = {scale};
  return builder.commit();
}

// ---- pooling: N spatial dims; arguments behind the tensors are kernel, stride, padding ...

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

// ---- scatters

bool lower_embedding_backward(LoweringContext& c) {  // (grad_output, indices, num_weights, padding_idx, scale_grad_by_freq)
  if (!plain_windows(c)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kEmbeddingBackward);
  builder.call.reads = {builder.argument(0), builder.argument(1)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype)};
  builder.call.ints = {c.node.args[3].value.toInt(), c.node.args[4].value.toBool()};
  return builder.commit();
}

// The destination of an op that changes some elements of self: out holds self when the call begins. False when the write cannot be done in place.
bool begin_update(LoweringContext& c, CallBuilder& builder) {
  const Operand self = builder.argument(0), out = builder.operand(c.node.writes[0]);
  for (size_t i = 1; i < c.node.args.size(); ++i) {
    if (is_tensor(c, i) && c.window(i).buffer == out.buffer) {
      return false;
    }
  }
  const ir::Window &from = c.window(0), &to = c.write(0);
  const bool in_place = from.buffer == to.buffer && from.offset == to.offset && from.dtype == to.dtype && from.strides == to.strides;
  if (from.sizes != to.sizes || from.dtype != to.dtype || (!in_place && from.buffer == to.buffer)) {
    return false;
  }
  if (!in_place) {
    builder.fill(self, out);
  }
  builder.call.writes = {out};
  return true;
}

bool lower_scatter_add(LoweringContext& c) {  // (self, dim, index, src)
  if (!plain_windows(c) || c.window(0).sizes.empty() || !is_tensor(c, 3)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kScatterAdd);
  if (!begin_update(c, builder)) {
    return false;
  }
  builder.call.reads = {builder.argument(2), builder.argument(3), builder.call.writes[0]};
  builder.call.ints = {at::maybe_wrap_dim(c.node.args[1].value.toInt(), static_cast<int64_t>(c.window(0).sizes.size()))};
  return builder.commit();
}

bool lower_index_add(LoweringContext& c) {  // (self, dim, index, source, alpha)
  if (!plain_windows(c) || c.window(0).sizes.empty() || c.window(2).sizes.size() != 1 || !is_tensor(c, 3) ||
      c.node.args[4].kind != ir::Arg::Kind::kScalar || c.graph.scalars[c.node.args[4].index].category == ir::ScalarCategory::kComplex ||
      (c10::isIntegralType(c.window(0).dtype, true) && c.graph.scalars[c.node.args[4].index].category == ir::ScalarCategory::kFloat) ||
      c.window(0).dtype == c10::ScalarType::Bool || c.window(3).numel() == 0) {
    return false;
  }
  CallBuilder builder(c, Primitive::kIndexPut);
  if (!begin_update(c, builder)) {
    return false;
  }
  const size_t rank = c.window(0).sizes.size();
  builder.call.reads.resize(rank + 2);
  builder.call.reads[0] = builder.scaled(builder.argument(3), c.node.args[4].index);
  builder.call.reads[1 + static_cast<size_t>(at::maybe_wrap_dim(c.node.args[1].value.toInt(), static_cast<int64_t>(rank)))] =
      builder.argument(2);
  builder.call.reads[rank + 1] = builder.call.writes[0];
  builder.call.ints = {1};
  return builder.commit();
}

bool lower_index_put(LoweringContext& c) {  // (self, indices, values, accumulate, ...)
  const size_t rank = c.window(0).sizes.size();
  const ir::Arg& list = c.node.args[1];
  if (!plain_windows(c) || list.kind != ir::Arg::Kind::kWindowList || list.count > rank || !is_tensor(c, 2)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kIndexPut);
  if (!begin_update(c, builder)) {
    return false;
  }
  builder.call.reads.resize(rank + 2);
  builder.call.reads[0] = builder.argument(2);
  for (uint32_t k = 0; k < list.count; ++k) {
    const ir::WindowId index = c.graph.list_items[list.index + k];
    if (index != ir::kNone) {
      builder.call.reads[1 + k] = builder.operand(index);
      if (builder.call.reads[1 + k].buffer == builder.call.writes[0].buffer) {
        return false;
      }
    }
  }
  builder.call.reads[rank + 1] = builder.call.writes[0];
  builder.call.ints = {c.node.args[3].value.toBool()};
  return builder.commit();
}

}  // namespace

std::vector<LoweringRow> library_lowerings() {
  return {
      {"mm", &lower_mm},
      {"bmm", &lower_mm},
      {"addmm", &lower_addmm},
      {"baddbmm", &lower_addmm},
      {"mv", &lower_mv},
      {"addmv", &lower_addmv},
      {"dot", &lower_dot},
      {"vdot", &lower_dot},
      {"linear", &lower_linear},
      {"convolution", &lower_convolution},
      {"convolution_backward", &lower_convolution_backward},
      {"_scaled_dot_product_fused_attention_overrideable", &lower_attention},
      {"_scaled_dot_product_fused_attention_overrideable_backward", &lower_attention_backward},
      {"max_pool2d_with_indices", &lower_max_pool<2>},
      {"max_pool2d_with_indices_backward", &lower_max_pool_backward<2>},
      {"max_pool3d_with_indices", &lower_max_pool<3>},
      {"max_pool3d_with_indices_backward", &lower_max_pool_backward<3>},
      {"avg_pool2d", &lower_avg_pool<2, false>},
      {"avg_pool2d_backward", &lower_avg_pool<2, true>},
      {"avg_pool3d", &lower_avg_pool<3, false>},
      {"avg_pool3d_backward", &lower_avg_pool<3, true>},
      {"_adaptive_avg_pool2d", &lower_adaptive_avg_pool<2, false>},
      {"_adaptive_avg_pool2d_backward", &lower_adaptive_avg_pool<2, true>},
      {"_adaptive_avg_pool3d", &lower_adaptive_avg_pool<3, false>},
      {"_adaptive_avg_pool3d_backward", &lower_adaptive_avg_pool<3, true>},
      {"embedding_dense_backward", &lower_embedding_backward},
      {"scatter_add", &lower_scatter_add},
      {"index_add", &lower_index_add},
      {"index_put", &lower_index_put},
      {"_index_put_impl", &lower_index_put},
      {"_unsafe_index_put", &lower_index_put},
  };
}

}  // namespace torch_hpu::compiler
