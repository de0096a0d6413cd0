// Multi-head attention and the feed-forward layer of the UNet's and the autoencoder's blocks.
#pragma once

#include "csrc/diffusion/models/layers.h"

namespace torch_hpu::diffusion {

struct AttentionShape {
  int64_t channels = 0;                      // of the input and of the output
  int64_t heads = 1, head_size = 0;          // the inner size is heads * head_size
  std::optional<int64_t> context_size = {};  // channels of the keys' and values' source; without: the input's
  bool bias = false;                         // of the three input projections
  bool upcast = false;                       // scores of half-precision inputs are computed in float
};

// Names: to_q, to_k, to_v, to_out.0.
class Attention : public torch::nn::Module {
 public:
  explicit Attention(const AttentionShape& shape);
  // x: [B, N, channels]; context: [B, M, context_size], undefined: x itself; bias: [B, 1, 1, M], added to the scores, or undefined.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& context = {}, const at::Tensor& bias = {}) const;

 private:
  int64_t heads_;
  bool upcast_;
  std::shared_ptr<Linear> to_q_, to_k_, to_v_;
  std::shared_ptr<Sequence<Linear>> to_out_;
};

// Self-attention over the pixels of an image, with its own group norm and residual. Names: those of Attention, and group_norm.
class ImageAttention : public Attention {
 public:
  ImageAttention(int64_t channels, int64_t groups, double eps);
  at::Tensor forward_image(const at::Tensor& x) const;  // [N, C, H, W]

 private:
  std::shared_ptr<GroupNorm> group_norm_;
};

// GEGLU, four times as wide inside. Names: net.0.proj, net.2.
class FeedForward : public torch::nn::Module {
 public:
  explicit FeedForward(int64_t channels);
  at::Tensor forward(const at::Tensor& x) const;  // [B, N, channels]

 private:
  std::shared_ptr<Linear> in_, out_;
};

// softmax(q k' / sqrt(head size) + bias) v for [B, N, heads * size] inputs; the result has the same form. causal excludes a bias.
at::Tensor attend(at::Tensor q, at::Tensor k, at::Tensor v, int64_t heads, const at::Tensor& bias = {}, bool causal = false);

}  // namespace torch_hpu::diffusion
