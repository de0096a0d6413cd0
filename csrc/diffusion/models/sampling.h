// Halving and doubling the size of an image.
#pragma once

#include "csrc/diffusion/models/layers.h"

namespace torch_hpu::diffusion {

// A convolution of stride 2. Without padding, one row and one column of zeros are added below and on the right. Name: conv.
class Downsample2D : public torch::nn::Module {
 public:
  Downsample2D(int64_t channels, int64_t padding);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  int64_t padding_;
  std::shared_ptr<Conv2d> conv_;
};

// Nearest neighbours and a convolution. Name: conv.
class Upsample2D : public torch::nn::Module {
 public:
  explicit Upsample2D(int64_t channels);
  // size: height and width of the result; empty: twice those of x.
  at::Tensor forward(const at::Tensor& x, at::IntArrayRef size = {}) const;

 private:
  std::shared_ptr<Conv2d> conv_;
};

}  // namespace torch_hpu::diffusion
