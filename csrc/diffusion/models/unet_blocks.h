// The down, mid and up blocks of the UNet and of the autoencoder.
#pragma once

#include "csrc/diffusion/models/resnet_block.h"
#include "csrc/diffusion/models/sampling.h"
#include "csrc/diffusion/models/transformer_block.h"

namespace torch_hpu::diffusion {

struct BlockShape {
  int64_t in = 0, out = 0;
  int64_t skip = 0;                                  // up blocks of the UNet: channels of the last skip connection
  int64_t layers = 1;                                // resnet blocks
  ResnetShape resnet = {};                           // in and out are set by the block
  std::optional<TransformerShape> transformer = {};  // after each resnet block; channels and groups are set by the block
  bool resample = true;                              // halve or double the size at the end
  int64_t padding = 1;                               // of the convolution that halves
};

// DownBlock2D, CrossAttnDownBlock2D, DownEncoderBlock2D. Names: resnets.N, attentions.N, downsamplers.0.
class DownBlock : public torch::nn::Module {
 public:
  explicit DownBlock(const BlockShape& shape);
  // Appends every intermediate image to skips, if it is given.
  at::Tensor forward(at::Tensor x, const at::Tensor& time, const Prompt& prompt, std::vector<at::Tensor>* skips) const;

 private:
  std::shared_ptr<Sequence<ResnetBlock2D>> resnets_;
  std::shared_ptr<Sequence<Transformer2D>> attentions_;
  std::shared_ptr<Sequence<Downsample2D>> downsamplers_;
};

// UpBlock2D, CrossAttnUpBlock2D, UpDecoderBlock2D. Names: resnets.N, attentions.N, upsamplers.0.
class UpBlock : public torch::nn::Module {
 public:
  explicit UpBlock(const BlockShape& shape);
  // Takes one skip connection for each resnet block from the end of skips, if it is given. size: as Upsample2D's.
  at::Tensor forward(at::Tensor x, const at::Tensor& time, const Prompt& prompt, std::vector<at::Tensor>* skips,
                     at::IntArrayRef size) const;
  size_t layers() const;

 private:
  std::shared_ptr<Sequence<ResnetBlock2D>> resnets_;
  std::shared_ptr<Sequence<Transformer2D>> attentions_;
  std::shared_ptr<Sequence<Upsample2D>> upsamplers_;
};

// UNetMidBlock2DCrossAttn; without a transformer UNetMidBlock2D as the UNet has it: one resnet block.
class CrossMidBlock : public torch::nn::Module {
 public:
  explicit CrossMidBlock(const BlockShape& shape);
  at::Tensor forward(at::Tensor x, const at::Tensor& time, const Prompt& prompt) const;

 private:
  std::shared_ptr<Sequence<ResnetBlock2D>> resnets_;
  std::shared_ptr<Sequence<Transformer2D>> attentions_;
};

// UNetMidBlock2D as the autoencoder has it: two resnet blocks and, if wanted, attention over the pixels between them.
class ImageMidBlock : public torch::nn::Module {
 public:
  ImageMidBlock(ResnetShape resnet, int64_t channels, bool attention);
  at::Tensor forward(at::Tensor x) const;

 private:
  std::shared_ptr<Sequence<ResnetBlock2D>> resnets_;
  std::shared_ptr<Sequence<ImageAttention>> attentions_;
};

}  // namespace torch_hpu::diffusion
