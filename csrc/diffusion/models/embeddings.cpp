#include "csrc/diffusion/models/embeddings.h"

#include <ATen/Functions.h>

#include <cmath>

namespace torch_hpu::diffusion {

at::Tensor timestep_embedding(const at::Tensor& times, const TimestepsShape& shape) {
  const int64_t half = shape.size / 2;
  const at::Tensor exponent = at::arange(half, times.options().dtype(at::kFloat)) * -std::log(10000.0) / (half - shape.freq_shift);
  const at::Tensor angles = times.unsqueeze(1).to(at::kFloat) * at::exp(exponent).unsqueeze(0);  // [N, half]
  const at::Tensor sines = at::sin(angles), cosines = at::cos(angles);
  const at::Tensor both = shape.flip_sin_to_cos ? at::cat({cosines, sines}, 1) : at::cat({sines, cosines}, 1);
  return shape.size % 2 ? at::constant_pad_nd(both, {0, 1}) : both;
}

TimestepEmbedding::TimestepEmbedding(TimestepEmbeddingShape shape) : shape_(std::move(shape)) {
  linear_1_ = register_module("linear_1", std::make_shared<Linear>(shape_.in, shape_.out));
  if (shape_.condition_size) {
    cond_proj_ = register_module("cond_proj", std::make_shared<Linear>(*shape_.condition_size, shape_.in, /*with_bias=*/false));
  }
  linear_2_ = register_module("linear_2", std::make_shared<Linear>(shape_.out, shape_.out));
}

at::Tensor TimestepEmbedding::forward(at::Tensor x, const at::Tensor& condition) const {
  if (condition.defined()) {
    TORCH_CHECK_VALUE(cond_proj_, "[UNet2DConditionModel] timestep_cond was given, but the config has no time_cond_proj_dim");
    x = x + cond_proj_->forward(condition);
  }
  x = linear_2_->forward(shape_.activation(linear_1_->forward(x)));
  return shape_.post_activation ? shape_.post_activation(x) : x;
}

}  // namespace torch_hpu::diffusion
