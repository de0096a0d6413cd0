// The text encoder of Stable Diffusion, in transformers' format: config.json, model.safetensors.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

namespace diffusion {
class ClipEmbeddings;
class ClipLayer;
class LayerNorm;
class Linear;
template <typename T>
class Sequence;
}  // namespace diffusion

// transformers' config fields, under the same names and with the same defaults.
struct TORCH_HPU_API CLIPTextConfig {
  int64_t vocab_size = 49408;
  int64_t hidden_size = 512;
  int64_t intermediate_size = 2048;
  int64_t projection_dim = 512;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 8;
  int64_t max_position_embeddings = 77;
  std::string hidden_act = "quick_gelu";  // or gelu
  double layer_norm_eps = 1e-5;
  double initializer_range = 0.02, initializer_factor = 1;
  std::optional<int64_t> pad_token_id = 1, bos_token_id = 49406;
  int64_t eos_token_id = 49407;     // 2: pooling takes the largest id of a text, as files before 2023 need it
  bool use_attention_mask = false;  // for pipelines: they pass an attention mask
  bool with_projection = false;     // CLIPTextModelWithProjection: text_embeds are computed

  // Throws with the field's name for what is not supported, or of a wrong type or size. with_projection comes from "architectures".
  static CLIPTextConfig from_json(const std::string& text);
  std::string to_json() const;  // as transformers writes it
};

struct CLIPTextOutput {
  at::Tensor last_hidden_state;           // [B, T, hidden_size], after the final layer norm
  at::Tensor pooler_output;               // [B, hidden_size], of the end-of-text token
  at::Tensor text_embeds;                 // [B, projection_dim], undefined without a projection
  std::vector<at::Tensor> hidden_states;  // if asked for: the embeddings and the output of every layer, [B, T, hidden_size] each
};

// The names of its parameters are those of CLIPTextModelWithProjection, text_model.*; files may have them with or without that prefix.
class TORCH_HPU_API CLIPTextModel : public torch::nn::Module {
 public:
  // With transformers' initialisation, from the default CPU generator. Throws for configs that do not fit together.
  explicit CLIPTextModel(CLIPTextConfig config);
  ~CLIPTextModel() override;

  // As UNet2DConditionModel's, of model.safetensors.
  static std::shared_ptr<CLIPTextModel> from_pretrained(const std::string& folder, const std::string& subfolder = "",
                                                        at::ScalarType dtype = at::kFloat, const std::string& variant = "");
  void save_pretrained(const std::string& folder) const;

  // input_ids: integers [B, T], T at most max_position_embeddings; attention_mask: [B, T], 1 where a token is seen, or undefined. Every
  // token sees only itself and those before it.
  CLIPTextOutput forward(const at::Tensor& input_ids, const at::Tensor& attention_mask = {}, bool output_hidden_states = false);
  // What pipelines give to the UNet: the last hidden state, or, with clip_skip = n, the output of the n-th layer before the last one after
  // the final layer norm (1: the penultimate layer). [B, T, hidden_size].
  at::Tensor embed(const at::Tensor& input_ids, std::optional<int64_t> clip_skip = std::nullopt, const at::Tensor& attention_mask = {});

  const CLIPTextConfig& config() const;
  const std::vector<std::string>& surplus_tensors() const;  // what from_pretrained() found in the files and did not need

 private:
  void initialise();
  at::Tensor pool(const at::Tensor& states, const at::Tensor& input_ids) const;

  CLIPTextConfig config_;
  std::vector<std::string> surplus_tensors_;
  std::shared_ptr<diffusion::ClipEmbeddings> embeddings_;
  std::shared_ptr<diffusion::Sequence<diffusion::ClipLayer>> layers_;
  std::shared_ptr<diffusion::LayerNorm> final_layer_norm_;
  std::shared_ptr<diffusion::Linear> text_projection_;
};

}  // namespace torch_hpu
