// The two halves of the autoencoder.
#pragma once

#include <torch_hpu/autoencoder_kl.h>

#include "csrc/diffusion/models/unet_blocks.h"

namespace torch_hpu::diffusion {

// Names: conv_in, down_blocks.N, mid_block, conv_norm_out, conv_out.
class ImageEncoder : public torch::nn::Module {
 public:
  explicit ImageEncoder(const AutoencoderKLConfig& config);
  at::Tensor forward(at::Tensor x) const;  // [N, in_channels, H, W] -> [N, 2 * latent_channels, h, w]

 private:
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<Sequence<DownBlock>> down_blocks_;
  std::shared_ptr<ImageMidBlock> mid_block_;
  std::shared_ptr<GroupNorm> conv_norm_out_;
};

// Names: conv_in, mid_block, up_blocks.N, conv_norm_out, conv_out.
class ImageDecoder : public torch::nn::Module {
 public:
  explicit ImageDecoder(const AutoencoderKLConfig& config);
  at::Tensor forward(at::Tensor x) const;  // [N, latent_channels, h, w] -> [N, out_channels, H, W]

 private:
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<Sequence<UpBlock>> up_blocks_;
  std::shared_ptr<ImageMidBlock> mid_block_;
  std::shared_ptr<GroupNorm> conv_norm_out_;
};

}  // namespace torch_hpu::diffusion
