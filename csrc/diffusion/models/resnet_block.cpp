#include "csrc/diffusion/models/resnet_block.h"

#include <ATen/Functions.h>

#include <utility>

namespace torch_hpu::diffusion {

ResnetBlock2D::ResnetBlock2D(ResnetShape shape) : shape_(std::move(shape)) {
  norm1_ = register_module("norm1", std::make_shared<GroupNorm>(shape_.groups, shape_.in, shape_.eps));
  conv1_ = register_module("conv1", std::make_shared<Conv2d>(ConvShape{.in = shape_.in, .out = shape_.out}));
  if (shape_.time_size) {
    const int64_t size = shape_.scale_shift ? 2 * shape_.out : shape_.out;
    time_emb_proj_ = register_module("time_emb_proj", std::make_shared<Linear>(*shape_.time_size, size));
  }
  norm2_ = register_module("norm2", std::make_shared<GroupNorm>(shape_.groups, shape_.out, shape_.eps));
  conv2_ = register_module("conv2", std::make_shared<Conv2d>(ConvShape{.in = shape_.out, .out = shape_.out}));
  if (shape_.in != shape_.out) {
    conv_shortcut_ = register_module("conv_shortcut", std::make_shared<Conv2d>(ConvShape{shape_.in, shape_.out, 1, 1, 0}));
  }
}

at::Tensor ResnetBlock2D::forward(const at::Tensor& x, const at::Tensor& time) const {
  at::Tensor y = conv1_->forward(shape_.activation(norm1_->forward(x)));
  at::Tensor shift;
  if (time_emb_proj_) {
    shift = time_emb_proj_->forward(shape_.activation(time)).unsqueeze(-1).unsqueeze(-1);  // [N, out or 2 * out, 1, 1]
  }
  if (shift.defined() && shape_.scale_shift) {
    const auto halves = shift.chunk(2, 1);
    y = norm2_->forward(y) * (1 + halves[0]) + halves[1];
  } else {
    y = norm2_->forward(shift.defined() ? y + shift : y);
  }
  y = shape_.activation(y);
  if (shape_.dropout > 0) {
    y = at::dropout(y, shape_.dropout, is_training());
  }
  y = conv2_->forward(y);
  y = (conv_shortcut_ ? conv_shortcut_->forward(x) : x) + y;
  return shape_.output_scale_factor == 1 ? y : y / shape_.output_scale_factor;
}

}  // namespace torch_hpu::diffusion
