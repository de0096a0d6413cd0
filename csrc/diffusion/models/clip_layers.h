// The parts of the text encoder.
#pragma once

#include <torch_hpu/clip_text_model.h>

#include "csrc/diffusion/models/layers.h"

namespace torch_hpu::diffusion {

// Names: token_embedding, position_embedding.
class ClipEmbeddings : public torch::nn::Module {
 public:
  explicit ClipEmbeddings(const CLIPTextConfig& config);
  at::Tensor forward(const at::Tensor& ids) const;  // [B, T] -> [B, T, hidden_size]
  void initialise(double factor);

 private:
  std::shared_ptr<Embedding> token_embedding_, position_embedding_;
};

// Names: self_attn.{q,k,v,out}_proj, layer_norm1, mlp.fc1, mlp.fc2, layer_norm2.
class ClipLayer : public torch::nn::Module {
 public:
  explicit ClipLayer(const CLIPTextConfig& config);
  // x: [B, T, hidden_size]; seen: bool [B, 1, T, T], undefined: the causal mask.
  at::Tensor forward(at::Tensor x, const at::Tensor& seen) const;
  void initialise(const CLIPTextConfig& config);

 private:
  int64_t heads_;
  Activation activation_;
  std::shared_ptr<Linear> q_proj_, k_proj_, v_proj_, out_proj_, fc1_, fc2_;
  std::shared_ptr<LayerNorm> layer_norm1_, layer_norm2_;
};

}  // namespace torch_hpu::diffusion
