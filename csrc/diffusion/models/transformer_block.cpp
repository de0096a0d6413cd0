#include "csrc/diffusion/models/transformer_block.h"

namespace torch_hpu::diffusion {

BasicTransformerBlock::BasicTransformerBlock(int64_t size, int64_t head_size, const TransformerShape& shape)
    : only_cross_attention_(shape.only_cross_attention) {
  AttentionShape first{.channels = size, .heads = shape.heads, .head_size = head_size, .upcast = shape.upcast};
  AttentionShape second = first;
  second.context_size = shape.context_size;
  if (only_cross_attention_) {
    first.context_size = shape.context_size;
  }
  norm1_ = register_module("norm1", std::make_shared<LayerNorm>(size));
  attn1_ = register_module("attn1", std::make_shared<Attention>(first));
  norm2_ = register_module("norm2", std::make_shared<LayerNorm>(size));
  attn2_ = register_module("attn2", std::make_shared<Attention>(second));
  norm3_ = register_module("norm3", std::make_shared<LayerNorm>(size));
  ff_ = register_module("ff", std::make_shared<FeedForward>(size));
}

at::Tensor BasicTransformerBlock::forward(at::Tensor x, const Prompt& prompt) const {
  x = attn1_->forward(norm1_->forward(x), only_cross_attention_ ? prompt.states : at::Tensor()) + x;
  x = attn2_->forward(norm2_->forward(x), prompt.states, prompt.bias) + x;
  return ff_->forward(norm3_->forward(x)) + x;
}

Transformer2D::Transformer2D(const TransformerShape& shape) {
  const int64_t head_size = shape.channels / shape.heads, inner = shape.heads * head_size;
  norm_ = register_module("norm", std::make_shared<GroupNorm>(shape.groups, shape.channels, 1e-6));
  if (shape.linear_projection) {
    linear_in_ = register_module("proj_in", std::make_shared<Linear>(shape.channels, inner));
  } else {
    conv_in_ = register_module("proj_in", std::make_shared<Conv2d>(ConvShape{shape.channels, inner, 1, 1, 0}));
  }
  blocks_ = register_module("transformer_blocks", std::make_shared<Sequence<BasicTransformerBlock>>());
  for (int64_t i = 0; i < shape.layers; ++i) {
    blocks_->push(std::make_shared<BasicTransformerBlock>(inner, head_size, shape));
  }
  if (shape.linear_projection) {
    linear_out_ = register_module("proj_out", std::make_shared<Linear>(inner, shape.channels));
  } else {
    conv_out_ = register_module("proj_out", std::make_shared<Conv2d>(ConvShape{inner, shape.channels, 1, 1, 0}));
  }
}

at::Tensor Transformer2D::forward(const at::Tensor& x, const Prompt& prompt) const {
  const int64_t batch = x.size(0), height = x.size(2), width = x.size(3);
  at::Tensor y = norm_->forward(x);
  if (conv_in_) {
    y = conv_in_->forward(y);
  }
  y = y.permute({0, 2, 3, 1}).reshape({batch, height * width, -1});
  if (linear_in_) {
    y = linear_in_->forward(y);
  }
  for (const auto& block : *blocks_) {
    y = block->forward(y, prompt);
  }
  if (linear_out_) {
    y = linear_out_->forward(y);
  }
  y = y.reshape({batch, height, width, -1}).permute({0, 3, 1, 2}).contiguous();
  return (conv_out_ ? conv_out_->forward(y) : y) + x;
}

}  // namespace torch_hpu::diffusion
