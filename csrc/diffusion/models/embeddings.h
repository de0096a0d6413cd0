// Embeddings of time steps.
#pragma once

#include "csrc/diffusion/models/layers.h"

namespace torch_hpu::diffusion {

struct TimestepsShape {
  int64_t size = 0;
  bool flip_sin_to_cos = true;  // cosines first
  double freq_shift = 0;
};

// Sines and cosines of the times at geometrically falling frequencies: [N] -> float [N, size].
at::Tensor timestep_embedding(const at::Tensor& times, const TimestepsShape& shape);

struct TimestepEmbeddingShape {
  int64_t in = 0, out = 0;
  Activation activation;
  Activation post_activation;             // empty: none
  std::optional<int64_t> condition_size;  // of a second input, that is projected and added to the first
};

// Names: linear_1, linear_2, cond_proj.
class TimestepEmbedding : public torch::nn::Module {
 public:
  explicit TimestepEmbedding(TimestepEmbeddingShape shape);
  at::Tensor forward(at::Tensor x, const at::Tensor& condition = {}) const;  // [N, in], [N, condition_size] -> [N, out]

 private:
  TimestepEmbeddingShape shape_;
  std::shared_ptr<Linear> linear_1_, linear_2_, cond_proj_;
};

}  // namespace torch_hpu::diffusion
