#include <torch_hpu/clip_text_model.h>

#include <ATen/Functions.h>

#include <cmath>

#include "csrc/diffusion/models/clip_layers.h"
#include "csrc/diffusion/models/pretrained.h"

namespace torch_hpu {

using namespace diffusion;

namespace {

constexpr const char* kNoun = "CLIPTextModel";
const std::string kPrefix = "text_model.";

// Files have a prefix or not, and may have the buffer of positions; transformers 5 writes the prefix with a projection only.
std::string name_in_module(const std::string& name) {
  if (name.ends_with("embeddings.position_ids")) {
    return "";
  }
  return name.starts_with(kPrefix) || name.starts_with("text_projection.") ? name : kPrefix + name;
}

}  // namespace

CLIPTextModel::CLIPTextModel(CLIPTextConfig config) : config_(std::move(config)) {
  TORCH_CHECK_VALUE(config_.num_attention_heads > 0 && config_.hidden_size % config_.num_attention_heads == 0, "[", kNoun,
                    "] num_attention_heads must divide hidden_size: got ", config_.num_attention_heads, " for ", config_.hidden_size);
  TORCH_CHECK_VALUE(config_.hidden_act == "quick_gelu" || config_.hidden_act == "gelu", "[", kNoun, "] hidden_act is not supported: got ",
                    config_.hidden_act, ", expected quick_gelu or gelu");
  const auto text_model = register_module("text_model", std::make_shared<torch::nn::Module>());
  embeddings_ = text_model->register_module("embeddings", std::make_shared<ClipEmbeddings>(config_));
  const auto encoder = text_model->register_module("encoder", std::make_shared<torch::nn::Module>());
  layers_ = encoder->register_module("layers", std::make_shared<Sequence<ClipLayer>>());
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    layers_->push(std::make_shared<ClipLayer>(config_));
  }
  final_layer_norm_ =
      text_model->register_module("final_layer_norm", std::make_shared<LayerNorm>(config_.hidden_size, config_.layer_norm_eps));
  if (config_.with_projection) {
    text_projection_ =
        register_module("text_projection", std::make_shared<Linear>(config_.hidden_size, config_.projection_dim, /*with_bias=*/false));
  }
  if (!stand_in_parameters()) {
    initialise();
  }
}

CLIPTextModel::~CLIPTextModel() = default;

void CLIPTextModel::initialise() {
  const at::NoGradGuard no_grad;
  embeddings_->initialise(config_.initializer_factor);
  for (const auto& layer : *layers_) {
    layer->initialise(config_);
  }
  if (text_projection_) {
    text_projection_->weight.normal_(0, config_.initializer_factor / std::sqrt(config_.hidden_size));
  }
}

std::shared_ptr<CLIPTextModel> CLIPTextModel::from_pretrained(const std::string& folder, const std::string& subfolder, at::ScalarType dtype,
                                                              const std::string& variant) {
  const PretrainedFolder source{kNoun, join_path(folder, subfolder), "model", variant};
  const StandInParameters stand_ins;
  auto model = std::make_shared<CLIPTextModel>(CLIPTextConfig::from_json(read_config(source)));
  model->surplus_tensors_ = load_weights(*model, source, dtype, name_in_module);
  model->eval();
  return model;
}

void CLIPTextModel::save_pretrained(const std::string& folder) const {
  const bool prefix = config_.with_projection;
  const auto name_in_file = [prefix](const std::string& name) {
    return !prefix && name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
  };
  save_weights(*this, {kNoun, folder, "model", ""}, config_.to_json(), name_in_file);
}

CLIPTextOutput CLIPTextModel::forward(const at::Tensor& input_ids, const at::Tensor& attention_mask, bool output_hidden_states) {
  TORCH_CHECK_VALUE(input_ids.dim() == 2 && c10::isIntegralType(input_ids.scalar_type(), /*includeBool=*/false), "[", kNoun,
                    "] input_ids must be integers [B, T]: got ", input_ids.scalar_type(), " ", input_ids.sizes());
  const int64_t length = input_ids.size(1);
  TORCH_CHECK_VALUE(length > 0 && length <= config_.max_position_embeddings, "[", kNoun,
                    "] a text must have 1 to max_position_embeddings tokens: got ", length, ", expected at most ",
                    config_.max_position_embeddings);
  at::Tensor seen;
  if (attention_mask.defined()) {
    TORCH_CHECK_VALUE(attention_mask.sizes() == input_ids.sizes(), "[", kNoun, "] attention_mask has a wrong shape: got ",
                      attention_mask.sizes(), ", expected ", input_ids.sizes());
    const at::Tensor causal = at::ones({length, length}, input_ids.options().dtype(at::kBool)).tril();
    seen = attention_mask.to(at::kBool).unsqueeze(1).unsqueeze(1).logical_and(causal);  // [B, 1, T, T]
  }
  CLIPTextOutput output;
  at::Tensor x = embeddings_->forward(input_ids);
  for (const auto& layer : *layers_) {
    if (output_hidden_states) {
      output.hidden_states.push_back(x);
    }
    x = layer->forward(x, seen);
  }
  if (output_hidden_states) {
    output.hidden_states.push_back(x);
  }
  output.last_hidden_state = final_layer_norm_->forward(x);
  output.pooler_output = pool(output.last_hidden_state, input_ids);
  if (text_projection_) {
    output.text_embeds = text_projection_->forward(output.pooler_output);
  }
  return output;
}

at::Tensor CLIPTextModel::pool(const at::Tensor& states, const at::Tensor& input_ids) const {
  const at::Tensor end = config_.eos_token_id == 2 ? input_ids.argmax(-1) : (input_ids == config_.eos_token_id).to(at::kInt).argmax(-1);
  const at::Tensor index = end.unsqueeze(-1).unsqueeze(-1).expand({-1, 1, states.size(2)});  // [B, 1, hidden_size]
  return states.gather(1, index).squeeze(1);
}

at::Tensor CLIPTextModel::embed(const at::Tensor& input_ids, std::optional<int64_t> clip_skip, const at::Tensor& attention_mask) {
  if (!clip_skip) {
    return forward(input_ids, attention_mask).last_hidden_state;
  }
  TORCH_CHECK_VALUE(*clip_skip >= 0 && *clip_skip <= config_.num_hidden_layers, "[", kNoun, "] clip_skip must lie in [0, ",
                    config_.num_hidden_layers, "]: got ", *clip_skip);
  const CLIPTextOutput output = forward(input_ids, attention_mask, /*output_hidden_states=*/true);
  return final_layer_norm_->forward(output.hidden_states[config_.num_hidden_layers - *clip_skip]);
}

const CLIPTextConfig& CLIPTextModel::config() const {
  return config_;
}

const std::vector<std::string>& CLIPTextModel::surplus_tensors() const {
  return surplus_tensors_;
}

}  // namespace torch_hpu
