#include "csrc/kernels/composites.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <unordered_map>

namespace torch_hpu::kernels {
namespace {

using torch::jit::Stack;

// Scores and their parts, in float (double for double): what forward and backward of attention share.
struct Attention {
  at::Tensor q, k, v;  // [B, H, L, E], [B, H, S, E], [B, H, S, F], or all without B
  double scale;
  at::Tensor scores;  // [B, H, L, S]

  Attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& bias, bool causal,
            std::optional<double> given_scale) {
    const c10::ScalarType wide = query.scalar_type() == c10::ScalarType::Double ? c10::ScalarType::Double : c10::ScalarType::Float;
    const int64_t repeat = query.size(-3) / key.size(-3);
    q = query.to(wide);
    k = key.to(wide).repeat_interleave(repeat, -3);
    v = value.to(wide).repeat_interleave(repeat, -3);
    scale = given_scale.value_or(1 / std::sqrt(static_cast<double>(query.size(-1))));
    scores = at::matmul(q, k.transpose(-2, -1)).mul_(scale);
    const at::Tensor lowest = at::scalar_tensor(-std::numeric_limits<double>::infinity(), scores.options());
    if (causal) {
      const int64_t l = q.size(-2), s = k.size(-2);
      scores = at::where(at::arange(s).unsqueeze(0).le(at::arange(l).unsqueeze(1)), scores, lowest);
    }
    if (bias.defined()) {
      scores = bias.scalar_type() == c10::ScalarType::Bool ? at::where(bias, scores, lowest) : scores.add_(bias.to(wide));
    }
  }

  // Rows without any admitted key have probability zero everywhere.
  at::Tensor probabilities(const at::Tensor& logsumexp) const {
    return (scores - logsumexp.masked_fill(logsumexp.eq(-std::numeric_limits<double>::infinity()), 0).unsqueeze(-1)).exp_();
  }
};

at::Tensor tensor_or_undefined(const c10::IValue& v) {
  return v.isNone() ? at::Tensor() : v.toTensor();
}

// (query, key, value, attn_bias?, dropout_p, is_causal, return_debug_mask, scale?)
void attention(Stack& stack) {
  const at::Tensor query = stack[0].toTensor();
  TORCH_CHECK_NOT_IMPLEMENTED(stack[4].toDouble() == 0,
                              "[scaled_dot_product_attention] the fused form has no dropout: got dropout_p=", stack[4].toDouble(),
                              ", expected 0");
  const Attention a(query, stack[1].toTensor(), stack[2].toTensor(), tensor_or_undefined(stack[3]), stack[5].toBool(),
                    stack[7].isNone() ? std::nullopt : std::optional<double>(stack[7].toDouble()));
  const at::Tensor logsumexp = at::logsumexp(a.scores, -1);
  const at::Tensor out = at::matmul(a.probabilities(logsumexp), a.v).to(query.scalar_type());
  const at::Tensor none = at::zeros({0}, at::TensorOptions().dtype(c10::ScalarType::Long));
  const int64_t l = query.size(-2), s = a.k.size(-2);
  stack = Stack{out, logsumexp.to(c10::ScalarType::Float), none, none, l, s, none, none, at::zeros({0}, query.options())};
}

// Sums the heads that share one key.
at::Tensor fold_heads(const at::Tensor& grad, const at::Tensor& like) {  // [B, H, S, E] -> [B, G, S, E]
  const int64_t groups = like.size(-3);
  return grad.unflatten(-3, {groups, grad.size(-3) / groups}).sum(-3).to(like.scalar_type());
}

// (grad_out, query, key, value, attn_bias, grad_input_mask, out, logsumexp, cum_seq_q, cum_seq_k, max_q, max_k, dropout_p, is_causal,
//  philox_seed, philox_offset, scale?)
void attention_backward(Stack& stack) {
  const at::Tensor query = stack[1].toTensor(), key = stack[2].toTensor(), value = stack[3].toTensor();
  const at::Tensor bias = tensor_or_undefined(stack[4]);
  const auto mask = stack[5].toBoolList();
  const Attention a(query, key, value, bias, stack[13].toBool(),
                    stack[16].isNone() ? std::nullopt : std::optional<double>(stack[16].toDouble()));
  const at::Tensor p = a.probabilities(at::logsumexp(a.scores, -1));
  const at::Tensor grad_out = stack[0].toTensor().to(p.scalar_type());
  const at::Tensor grad_p = at::matmul(grad_out, a.v.transpose(-2, -1));
  const at::Tensor grad_scores = p * (grad_p - (grad_p * p).sum(-1, /*keepdim=*/true));
  at::Tensor grad_bias;
  if (bias.defined() && bias.scalar_type() != c10::ScalarType::Bool && mask[3]) {
    grad_bias = grad_scores.sum_to_size(bias.sizes()).to(bias.scalar_type());
  }
  stack = Stack{at::matmul(grad_scores, a.k).mul_(a.scale).to(query.scalar_type()),
                fold_heads(at::matmul(grad_scores.transpose(-2, -1), a.q).mul_(a.scale), key),
                fold_heads(at::matmul(p.transpose(-2, -1), grad_out), value), grad_bias};
}

}  // namespace

Composite find_composite(std::string_view name) {
  static const std::unordered_map<std::string_view, Composite> table{
      {"aten::_scaled_dot_product_fused_attention_overrideable", attention},
      {"aten::_scaled_dot_product_fused_attention_overrideable_backward", attention_backward},
  };
  const auto it = table.find(name);
  return it == table.end() ? nullptr : it->second;
}

}  // namespace torch_hpu::kernels
