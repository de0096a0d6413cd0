// Scaled dot-product attention and its backward.
#include <cmath>

#include "csrc/compiler/library_calls.h"

namespace torch_hpu::compiler {
namespace {

using kernels::Operand;
using kernels::Primitive;

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

// With dims of size 1 in front up to `rank`: attention without a batch is attention with a batch of one.
Operand with_rank(size_t rank, Operand o) {
  while (!o.sizes.empty() && o.sizes.size() < rank) {
    o.sizes.insert(o.sizes.begin(), 1);
    o.strides.insert(o.strides.begin(), 0);
  }
  return o;
}

bool has_dense_rows(const Operand& o) {
  return o.sizes.back() == 1 || o.strides.back() == 1;
}

// The argument i as attention reads it.
Operand heads(CallBuilder& builder, size_t i) {
  const Operand o = builder.argument(i);
  return with_rank(4, has_dense_rows(o) ? o : builder.dense(o));
}

// (query, key, value, attn_bias?, dropout_p, is_causal, return_debug_mask, scale?) -> out, logsumexp ...
bool lower_attention(LoweringContext& c) {
  double dropout = 0, scale = 0;
  if (!plain_windows(c) || !constant_number(c, 4, 0, dropout) || dropout != 0 ||
      !constant_number(c, 7, 1 / std::sqrt(static_cast<double>(c.window(0).sizes.back())), scale) || !only_first_writes(c, 2)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kAttention);
  builder.call.reads = {heads(builder, 0), heads(builder, 1), heads(builder, 2), builder.argument(3)};
  builder.call.writes = {with_rank(4, builder.destination(0, c.window(0).dtype, has_dense_rows)),
                         with_rank(3, builder.destination(1, c10::ScalarType::Float))};
  builder.call.ints = {c.node.args[5].value.toBool()};
  builder.call.floats = {scale};
  return builder.commit();
}

// (grad_out, query, key, value, attn_bias, grad_input_mask, out, logsumexp, cum_seq_q, cum_seq_k, max_q, max_k, dropout_p, is_causal, philox_seed,
//  philox_offset, scale?)
bool lower_attention_backward(LoweringContext& c) {
  double dropout = 0, scale = 0;
  if (!plain_windows(c) || !constant_number(c, 12, 0, dropout) || dropout != 0 ||
      !constant_number(c, 16, 1 / std::sqrt(static_cast<double>(c.window(1).sizes.back())), scale) || !only_first_writes(c, 3)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kAttentionBackward);
  for (size_t i : {0, 1, 2, 3}) {
    builder.call.reads.push_back(heads(builder, i));
  }
  builder.call.reads.push_back(builder.argument(4));
  builder.call.reads.push_back(heads(builder, 6));
  builder.call.reads.push_back(with_rank(3, builder.argument(7)));
  for (size_t i : {0, 1, 2}) {
    builder.call.writes.push_back(with_rank(4, builder.destination(i, c.window(1).dtype, has_dense_rows)));
  }
  builder.call.ints = {c.node.args[13].value.toBool()};
  builder.call.floats = {scale};
  return builder.commit();
}

}  // namespace

std::vector<LoweringRow> attention_lowerings() {
  return {
      {"_scaled_dot_product_fused_attention_overrideable", &lower_attention},
      {"_scaled_dot_product_fused_attention_overrideable_backward", &lower_attention_backward},
  };
}

}  // namespace torch_hpu::compiler
