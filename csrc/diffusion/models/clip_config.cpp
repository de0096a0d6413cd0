// config.json of the text encoder.
#include <torch_hpu/clip_text_model.h>

#include <c10/util/Exception.h>

#include "csrc/diffusion/models/config_fields.h"

namespace torch_hpu {

using diffusion::Json;

CLIPTextConfig CLIPTextConfig::from_json(const std::string& text) {
  constexpr int64_t kMostIds = int64_t(1) << 31;
  CLIPTextConfig config;
  diffusion::ConfigFields fields("CLIPTextModel", text);
  fields.read("vocab_size", config.vocab_size, 1, int64_t(1) << 24);
  fields.read("hidden_size", config.hidden_size);
  fields.read("intermediate_size", config.intermediate_size);
  std::optional<int64_t> projection = config.projection_dim;
  fields.read("projection_dim", projection);
  config.projection_dim = projection.value_or(config.projection_dim);
  fields.read("num_hidden_layers", config.num_hidden_layers, 1, diffusion::kMostLayers);
  fields.read("num_attention_heads", config.num_attention_heads);
  fields.read("max_position_embeddings", config.max_position_embeddings);
  fields.read("hidden_act", config.hidden_act);
  fields.read("layer_norm_eps", config.layer_norm_eps);
  fields.read("initializer_range", config.initializer_range);
  fields.read("initializer_factor", config.initializer_factor);
  fields.read("pad_token_id", config.pad_token_id, 0, kMostIds);
  fields.read("bos_token_id", config.bos_token_id, 0, kMostIds);
  fields.read("eos_token_id", config.eos_token_id, 0, kMostIds);
  fields.read("use_attention_mask", config.use_attention_mask);
  fields.expect("attention_dropout", 0.0);
  fields.expect("dropout", 0.0);
  std::vector<std::string> architectures;
  fields.read("architectures", architectures);
  config.with_projection = architectures == std::vector<std::string>{"CLIPTextModelWithProjection"};
  TORCH_CHECK_VALUE(config.with_projection || architectures.empty() || architectures == std::vector<std::string>{"CLIPTextModel"},
                    "[CLIPTextModel] config field architectures is not supported: got ", architectures,
                    ", expected CLIPTextModel or CLIPTextModelWithProjection");
  // The base class of transformers' configs has dozens of fields, and old files hold them all: none changes what a text encoder computes,
  // but the following, which must not be set.
  fields.expect("is_decoder", false);
  fields.expect("add_cross_attention", false);
  fields.expect("quantization_config", nullptr);
  return config;
}

std::string CLIPTextConfig::to_json() const {
  using diffusion::or_null;
  Json json = {
      {"architectures", Json::array({with_projection ? "CLIPTextModelWithProjection" : "CLIPTextModel"})},
      {"attention_dropout", 0.0},
      {"bos_token_id", or_null(bos_token_id)},
      {"eos_token_id", eos_token_id},
      {"hidden_act", hidden_act},
      {"hidden_size", hidden_size},
      {"initializer_factor", initializer_factor},
      {"initializer_range", initializer_range},
      {"intermediate_size", intermediate_size},
      {"layer_norm_eps", layer_norm_eps},
      {"max_position_embeddings", max_position_embeddings},
      {"model_type", "clip_text_model"},
      {"num_attention_heads", num_attention_heads},
      {"num_hidden_layers", num_hidden_layers},
      {"pad_token_id", or_null(pad_token_id)},
      {"projection_dim", projection_dim},
      {"transformers_version", "5.24.0"},
      {"vocab_size", vocab_size},
  };
  if (use_attention_mask) {
    json["use_attention_mask"] = true;
  }
  return json.dump(2) + "\n";
}

}  // namespace torch_hpu
