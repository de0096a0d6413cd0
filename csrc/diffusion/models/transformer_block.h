// The transformer between two resnet blocks of the UNet: the pixels attend to each other and to the prompt.
#pragma once

#include "csrc/diffusion/models/attention.h"

namespace torch_hpu::diffusion {

struct TransformerShape {
  int64_t channels = 0, heads = 1, layers = 1, context_size = 0, groups = 32;
  bool linear_projection = false;     // project after the image has become a sequence, by Linear instead of a 1x1 convolution
  bool only_cross_attention = false;  // the first attention attends to the prompt, too
  bool upcast = false;
};

// What the UNet gives to all of its transformers.
struct Prompt {
  at::Tensor states;  // [B, T, context_size]; undefined: the second attention is self-attention
  at::Tensor bias;    // [B, 1, 1, T], added to the scores of tokens that are not to be seen; undefined: all are seen
};

// Names: norm1, attn1, norm2, attn2, norm3, ff.
class BasicTransformerBlock : public torch::nn::Module {
 public:
  BasicTransformerBlock(int64_t size, int64_t head_size, const TransformerShape& shape);
  at::Tensor forward(at::Tensor x, const Prompt& prompt) const;  // [B, N, size]

 private:
  bool only_cross_attention_;
  std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_;
  std::shared_ptr<Attention> attn1_, attn2_;
  std::shared_ptr<FeedForward> ff_;
};

// Names: norm, proj_in, transformer_blocks.N, proj_out.
class Transformer2D : public torch::nn::Module {
 public:
  explicit Transformer2D(const TransformerShape& shape);
  at::Tensor forward(const at::Tensor& x, const Prompt& prompt) const;  // [B, C, H, W]

 private:
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Linear> linear_in_, linear_out_;  // these, or
  std::shared_ptr<Conv2d> conv_in_, conv_out_;      // these
  std::shared_ptr<Sequence<BasicTransformerBlock>> blocks_;
};

}  // namespace torch_hpu::diffusion
