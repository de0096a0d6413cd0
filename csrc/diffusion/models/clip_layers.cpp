#include "csrc/diffusion/models/clip_layers.h"

#include <ATen/Functions.h>

#include <cmath>

#include "csrc/diffusion/models/attention.h"

namespace torch_hpu::diffusion {

ClipEmbeddings::ClipEmbeddings(const CLIPTextConfig& config) {
  token_embedding_ = register_module("token_embedding", std::make_shared<Embedding>(config.vocab_size, config.hidden_size));
  position_embedding_ =
      register_module("position_embedding", std::make_shared<Embedding>(config.max_position_embeddings, config.hidden_size));
}

at::Tensor ClipEmbeddings::forward(const at::Tensor& ids) const {
  return token_embedding_->forward(ids) + position_embedding_->weight.slice(0, 0, ids.size(1)).unsqueeze(0);
}

void ClipEmbeddings::initialise(double factor) {
  token_embedding_->weight.normal_(0, factor * 0.02);
  position_embedding_->weight.normal_(0, factor * 0.02);
}

ClipLayer::ClipLayer(const CLIPTextConfig& config)
    : heads_(config.num_attention_heads), activation_(activation("CLIPTextModel", "hidden_act", config.hidden_act)) {
  const int64_t size = config.hidden_size;
  const auto attention = register_module("self_attn", std::make_shared<torch::nn::Module>());
  k_proj_ = attention->register_module("k_proj", std::make_shared<Linear>(size, size));
  v_proj_ = attention->register_module("v_proj", std::make_shared<Linear>(size, size));
  q_proj_ = attention->register_module("q_proj", std::make_shared<Linear>(size, size));
  out_proj_ = attention->register_module("out_proj", std::make_shared<Linear>(size, size));
  layer_norm1_ = register_module("layer_norm1", std::make_shared<LayerNorm>(size, config.layer_norm_eps));
  const auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
  fc1_ = mlp->register_module("fc1", std::make_shared<Linear>(size, config.intermediate_size));
  fc2_ = mlp->register_module("fc2", std::make_shared<Linear>(config.intermediate_size, size));
  layer_norm2_ = register_module("layer_norm2", std::make_shared<LayerNorm>(size, config.layer_norm_eps));
}

at::Tensor ClipLayer::forward(at::Tensor x, const at::Tensor& seen) const {
  at::Tensor y = layer_norm1_->forward(x);
  y = attend(q_proj_->forward(y), k_proj_->forward(y), v_proj_->forward(y), heads_, seen, /*causal=*/!seen.defined());
  x = x + out_proj_->forward(y);
  y = fc2_->forward(activation_(fc1_->forward(layer_norm2_->forward(x))));
  return x + y;
}

void ClipLayer::initialise(const CLIPTextConfig& config) {
  const double factor = config.initializer_factor, per_size = 1 / std::sqrt(config.hidden_size);
  const double in = factor * per_size / std::sqrt(2.0 * config.num_hidden_layers);
  q_proj_->weight.normal_(0, in);
  k_proj_->weight.normal_(0, in);
  v_proj_->weight.normal_(0, in);
  out_proj_->weight.normal_(0, factor * per_size);
  fc1_->weight.normal_(0, factor / std::sqrt(2.0 * config.hidden_size));
  fc2_->weight.normal_(0, in);
  for (const auto& linear : {q_proj_, k_proj_, v_proj_, out_proj_, fc1_, fc2_}) {
    linear->bias.zero_();
  }
}

}  // namespace torch_hpu::diffusion
