// Attention: which calls of scaled_dot_product_attention are one node of the graph, the recording of that node, and the modules' fast
// paths written by it.
#include <ATen/Context.h>
#include <ATen/ExpandUtils.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include <cmath>
#include <limits>

#include "csrc/aten/kernels.h"
#include "csrc/ir/op_registry.h"
#include "csrc/lazy/record.h"

namespace torch_hpu::aten {
namespace {

// q [B, H, L, E], k [B, G, S, E], v [B, G, S, F], or all without B; every head of k and v serves H / G heads of q.
bool shapes_suit(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool grouped) {
  if ((q.dim() != 3 && q.dim() != 4) || k.dim() != q.dim() || v.dim() != q.dim() || q.numel() == 0 || k.numel() == 0 || v.numel() == 0) {
    return false;
  }
  const int64_t heads = q.size(-3), groups = k.size(-3);
  return (heads == groups || (grouped && heads % groups == 0)) && v.size(-3) == groups && k.size(-1) == q.size(-1) &&
         k.size(-2) == v.size(-2) && (q.dim() == 3 || (k.size(0) == q.size(0) && v.size(0) == q.size(0)));
}

bool mask_suits(const at::Tensor& mask, const at::Tensor& q, const at::Tensor& k) {
  c10::DimVector scores(q.sizes().begin(), q.sizes().end());
  scores.back() = k.size(-2);
  return at::is_expandable_to(mask.sizes(), scores) && !(at::GradMode::is_enabled() && mask.requires_grad());
}

at::Tensor heads_first(const at::Tensor& x, int64_t heads) {  // [B, L, H * E] -> [B, H, L, E]
  return x.unflatten(-1, {heads, x.size(-1) / heads}).transpose(1, 2);
}

}  // namespace

// Everything else takes ATen's composite of products and a softmax: other dtypes, broadcast batches, empty tensors, dropout (which keeps
// its mask, as the backward needs it), gradients of the mask, and what is an error.
int64_t choose_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const std::optional<at::Tensor>& mask,
                         double dropout_p, bool is_causal, std::optional<double> /*scale*/, bool enable_gqa) {
  const c10::ScalarType dtype = query.scalar_type();
  const bool dtypes_suit = (dtype == c10::ScalarType::Float || dtype == c10::ScalarType::BFloat16 || dtype == c10::ScalarType::Half) &&
                           key.scalar_type() == dtype && value.scalar_type() == dtype;
  const bool masked = mask.has_value() && mask->defined();
  const bool fused = at::globalContext().userEnabledOverrideableSDP() && dtypes_suit && dropout_p == 0 &&
                     shapes_suit(query, key, value, enable_gqa) && (!masked || (!is_causal && mask_suits(*mask, query, key)));
  return static_cast<int64_t>(fused ? at::SDPBackend::overrideable : at::SDPBackend::math);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt, at::Tensor, at::Tensor, at::Tensor> fused_attention(
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const std::optional<at::Tensor>& bias, double dropout_p,
    bool is_causal, bool return_debug_mask, std::optional<double> scale) {
  static const ir::OpInfo& op = *ir::find_op("aten::_scaled_dot_product_fused_attention_overrideable");
  TORCH_CHECK(!return_debug_mask, "[", op.name, "] keeps no debug mask: got return_debug_mask=True");
  lazy::Call call(op);
  auto add = [&](const at::Tensor& t, const char* name) {
    TORCH_CHECK(t.device() == query.device(), "[", op.name, "] argument '", name, "' is on ", t.device(), ", expected ", query.device(),
                ": all tensors of an op must be on one device");
    call.tensor(t);
  };
  add(query, "query");
  add(key, "key");
  add(value, "value");
  bias.has_value() && bias->defined() ? add(*bias, "attn_bias") : call.none();
  call.constant(dropout_p);
  call.constant(is_causal);
  call.constant(return_debug_mask);
  scale.has_value() ? call.constant(*scale) : call.none();
  const std::vector<at::Tensor> fresh = lazy::record(call, *lazy::infer(call), {}, query.device().index());
  return {fresh[0], fresh[1], {}, {}, query.size(-2), key.size(-2), {}, {}, {}};
}

// The fast path of nn.MultiheadAttention in evaluation. query, key, value [B, L, D]; qkv_weight [3D, D]; mask: true where a key is hidden, [L, S],
// [B, S] for mask_type 1, or [B, H, L, S].
std::tuple<at::Tensor, at::Tensor> native_multi_head_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                                               int64_t embed_dim, int64_t num_head, const at::Tensor& qkv_weight,
                                                               const at::Tensor& qkv_bias, const at::Tensor& proj_weight,
                                                               const at::Tensor& proj_bias, const std::optional<at::Tensor>& mask,
                                                               bool need_weights, bool average_attn_weights,
                                                               std::optional<int64_t> mask_type) {
  TORCH_CHECK(query.dim() == 3 && query.size(2) == embed_dim && embed_dim % num_head == 0,
              "[_native_multi_head_attention] got a query of size ", query.sizes(), ", expected [B, L, ", embed_dim,
              "] with heads that divide the width: got ", num_head, " heads");
  at::Tensor q, k, v;
  if (query.is_same(key) && key.is_same(value)) {
    const auto parts = at::linear(query, qkv_weight, qkv_bias).chunk(3, -1);
    q = parts[0], k = parts[1], v = parts[2];
  } else {
    const auto weights = qkv_weight.chunk(3), biases = qkv_bias.chunk(3);
    q = at::linear(query, weights[0], biases[0]), k = at::linear(key, weights[1], biases[1]), v = at::linear(value, weights[2], biases[2]);
  }
  q = heads_first(q, num_head), k = heads_first(k, num_head), v = heads_first(v, num_head);
  std::optional<at::Tensor> hidden;
  if (mask.has_value() && mask->defined()) {
    hidden = mask->to(c10::ScalarType::Bool);
    if (mask_type == 1) {
      hidden = hidden->unsqueeze(1).unsqueeze(1);
    }
  }
  at::Tensor context, weights;
  if (need_weights) {
    at::Tensor scores = at::matmul(q, k.transpose(-2, -1)) * (1 / std::sqrt(static_cast<double>(q.size(-1))));
    if (hidden.has_value()) {
      scores = scores.masked_fill(*hidden, -std::numeric_limits<double>::infinity());
    }
    weights = at::softmax(scores, -1);
    context = at::matmul(weights, v);
    weights = average_attn_weights ? weights.mean(1) : weights;
  } else {
    context = at::scaled_dot_product_attention(q, k, v, hidden.has_value() ? hidden->logical_not() : hidden);
  }
  return {at::linear(context.transpose(1, 2).flatten(2), proj_weight, proj_bias), weights};
}

}  // namespace torch_hpu::aten

namespace at::native {

// NOLINTNEXTLINE: the macro defines a static registrar
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &torch_hpu::aten::choose_attention)

}  // namespace at::native
