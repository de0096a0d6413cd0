#include "csrc/diffusion/models/sampling.h"

#include <ATen/Functions.h>

#include <array>

namespace torch_hpu::diffusion {

Downsample2D::Downsample2D(int64_t channels, int64_t padding) : padding_(padding) {
  conv_ = register_module("conv", std::make_shared<Conv2d>(ConvShape{channels, channels, 3, 2, padding}));
}

at::Tensor Downsample2D::forward(const at::Tensor& x) const {
  return conv_->forward(padding_ == 0 ? at::constant_pad_nd(x, {0, 1, 0, 1}) : x);
}

Upsample2D::Upsample2D(int64_t channels) {
  conv_ = register_module("conv", std::make_shared<Conv2d>(ConvShape{.in = channels, .out = channels}));
}

at::Tensor Upsample2D::forward(const at::Tensor& x, at::IntArrayRef size) const {
  const std::array<int64_t, 2> twice = {2 * x.size(2), 2 * x.size(3)};
  return conv_->forward(at::upsample_nearest2d(x, size.empty() ? at::IntArrayRef(twice) : size));
}

}  // namespace torch_hpu::diffusion
