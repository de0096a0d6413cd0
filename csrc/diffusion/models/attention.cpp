#include "csrc/diffusion/models/attention.h"

#include <ATen/Functions.h>

namespace torch_hpu::diffusion {

at::Tensor attend(at::Tensor q, at::Tensor k, at::Tensor v, int64_t heads, const at::Tensor& bias, bool causal) {
  const int64_t batch = q.size(0), inner = q.size(2);
  for (at::Tensor* x : {&q, &k, &v}) {
    *x = x->view({batch, -1, heads, inner / heads}).transpose(1, 2);  // [B, heads, N, size]
  }
  const at::Tensor y =
      at::scaled_dot_product_attention(q, k, v, bias.defined() ? std::optional(bias) : std::nullopt, /*dropout_p=*/0.0, causal);
  return y.transpose(1, 2).reshape({batch, -1, inner});
}

Attention::Attention(const AttentionShape& shape) : heads_(shape.heads), upcast_(shape.upcast) {
  const int64_t inner = shape.heads * shape.head_size;
  const int64_t context = shape.context_size.value_or(shape.channels);
  to_q_ = register_module("to_q", std::make_shared<Linear>(shape.channels, inner, shape.bias));
  to_k_ = register_module("to_k", std::make_shared<Linear>(context, inner, shape.bias));
  to_v_ = register_module("to_v", std::make_shared<Linear>(context, inner, shape.bias));
  to_out_ = register_module("to_out", std::make_shared<Sequence<Linear>>());
  to_out_->push(std::make_shared<Linear>(inner, shape.channels));
}

at::Tensor Attention::forward(const at::Tensor& x, const at::Tensor& context, const at::Tensor& bias) const {
  const at::Tensor& source = context.defined() ? context : x;
  at::Tensor q = to_q_->forward(x), k = to_k_->forward(source), v = to_v_->forward(source);
  const auto type = q.scalar_type();
  at::Tensor y;
  if (upcast_ && type != at::kFloat && type != at::kDouble) {
    const at::Tensor float_bias = bias.defined() ? bias.to(at::kFloat) : bias;
    y = attend(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), heads_, float_bias).to(type);
  } else {
    y = attend(q, k, v, heads_, bias);
  }
  return (*to_out_)[0]->forward(y);
}

ImageAttention::ImageAttention(int64_t channels, int64_t groups, double eps)
    : Attention({.channels = channels, .heads = 1, .head_size = channels, .bias = true}) {
  group_norm_ = register_module("group_norm", std::make_shared<GroupNorm>(groups, channels, eps));
}

at::Tensor ImageAttention::forward_image(const at::Tensor& x) const {
  const at::Tensor pixels = group_norm_->forward(x).flatten(2).transpose(1, 2);  // [N, H * W, C]
  return forward(pixels).transpose(1, 2).reshape(x.sizes()) + x;
}

FeedForward::FeedForward(int64_t channels) {
  const auto net = register_module("net", std::make_shared<torch::nn::Module>());
  const auto geglu = net->register_module("0", std::make_shared<torch::nn::Module>());
  in_ = geglu->register_module("proj", std::make_shared<Linear>(channels, 8 * channels));
  out_ = net->register_module("2", std::make_shared<Linear>(4 * channels, channels));
}

at::Tensor FeedForward::forward(const at::Tensor& x) const {
  const auto halves = in_->forward(x).chunk(2, -1);
  return out_->forward(halves[0] * at::gelu(halves[1]));
}

}  // namespace torch_hpu::diffusion
