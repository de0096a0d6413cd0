// The convolutional block of the UNet and of the autoencoder.
#pragma once

#include "csrc/diffusion/models/layers.h"

namespace torch_hpu::diffusion {

struct ResnetShape {
  int64_t in = 0, out = 0;
  std::optional<int64_t> time_size = {};  // channels of the time embedding; without: the block takes none
  bool scale_shift = false;               // the time embedding scales and shifts after the second norm; otherwise it is added before it
  int64_t groups = 32;
  double eps = 1e-6;
  double dropout = 0;
  double output_scale_factor = 1;  // the output is divided by it
  Activation activation = {};
};

// Names: norm1, conv1, time_emb_proj, norm2, conv2, conv_shortcut (when the channels change).
class ResnetBlock2D : public torch::nn::Module {
 public:
  explicit ResnetBlock2D(ResnetShape shape);
  // x: [N, in, H, W]; time: [N, time_size], undefined if the block takes none.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& time) const;

 private:
  ResnetShape shape_;
  std::shared_ptr<GroupNorm> norm1_, norm2_;
  std::shared_ptr<Conv2d> conv1_, conv2_, conv_shortcut_;
  std::shared_ptr<Linear> time_emb_proj_;
};

}  // namespace torch_hpu::diffusion
