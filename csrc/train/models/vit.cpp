#include <torch_hpu/models/vit.h>

#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch_hpu/state_dict.h>

#include "csrc/train/checkpointing.h"
#include "csrc/train/json_text.h"
#include "csrc/train/models/pretrained.h"

namespace torch_hpu {
namespace {

using Json = nlohmann::ordered_json;
using torch::nn::LayerNorm;
using torch::nn::LayerNormOptions;
using torch::nn::Linear;
using torch::nn::LinearOptions;

// Parts of a layer's names, in files and in modules.
const std::pair<const char*, const char*> kNames[] = {
    {"attention.attention.query.", "attention.q_proj."},
    {"attention.attention.key.", "attention.k_proj."},
    {"attention.attention.value.", "attention.v_proj."},
    {"attention.output.dense.", "attention.o_proj."},
    {"intermediate.dense.", "mlp.fc1."},
    {"output.dense.", "mlp.fc2."},
};

// One naming of a tensor as the other. Names that are not of a layer are the same in both.
std::string renamed(const std::string& name, bool to_file) {
  const std::string from = to_file ? "vit.layers." : "vit.encoder.layer.", to = to_file ? "vit.encoder.layer." : "vit.layers.";
  if (!name.starts_with(from)) {
    return name;
  }
  const size_t part = name.find('.', from.size()) + 1;  // behind the number
  for (const auto& [in_file, in_module] : kNames) {
    const std::string old_part = to_file ? in_module : in_file;
    if (name.compare(part, old_part.size(), old_part) == 0) {
      return to + name.substr(from.size(), part - from.size()) + (to_file ? in_file : in_module) + name.substr(part + old_part.size());
    }
  }
  return to + name.substr(from.size());
}

Json one_or_list(const std::vector<int64_t>& sizes) {
  return sizes[0] == sizes[1] ? Json(sizes[0]) : Json(sizes);
}

}  // namespace

// One block: attention, then a network of two layers; norms before each.
struct ViTLayerImpl : torch::nn::Module {
  explicit ViTLayerImpl(const ViTConfig& c)
      : heads(c.num_attention_heads),
        hidden_act(c.hidden_act),
        hidden_dropout(c.hidden_dropout_prob),
        attention_dropout(c.attention_probs_dropout_prob) {
    const int64_t e = c.hidden_size;
    const auto norm = LayerNormOptions({e}).eps(c.layer_norm_eps);
    const auto qkv = LinearOptions(e, e).bias(c.qkv_bias);
    const auto attention = register_module("attention", std::make_shared<torch::nn::Module>("attention"));
    q_proj = attention->register_module("q_proj", Linear(qkv));
    k_proj = attention->register_module("k_proj", Linear(qkv));
    v_proj = attention->register_module("v_proj", Linear(qkv));
    o_proj = attention->register_module("o_proj", Linear(e, e));
    layernorm_before = register_module("layernorm_before", LayerNorm(norm));
    layernorm_after = register_module("layernorm_after", LayerNorm(norm));
    const auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>("mlp"));
    fc1 = mlp->register_module("fc1", Linear(e, c.intermediate_size));
    fc2 = mlp->register_module("fc2", Linear(c.intermediate_size, e));
  }

  at::Tensor forward(const at::Tensor& x) {  // [B, T, E]
    const int64_t b = x.size(0), t = x.size(1), e = x.size(2);
    const at::Tensor normed = layernorm_before(x);
    const auto by_head = [&](Linear& layer) { return layer(normed).view({b, t, heads, e / heads}).transpose(1, 2); };  // [B, H, T, D]
    const at::Tensor mixed =
        at::scaled_dot_product_attention(by_head(q_proj), by_head(k_proj), by_head(v_proj), {}, is_training() ? attention_dropout : 0.0);
    const at::Tensor attended = drop(o_proj(mixed.transpose(1, 2).reshape({b, t, e}))) + x;
    return drop(fc2(train::activation(hidden_act, fc1(layernorm_after(attended))))) + attended;
  }

  at::Tensor drop(const at::Tensor& x) const {
    return at::dropout(x, hidden_dropout, is_training());
  }

  int64_t heads;
  std::string hidden_act;
  double hidden_dropout, attention_dropout;
  Linear q_proj{nullptr}, k_proj{nullptr}, v_proj{nullptr}, o_proj{nullptr}, fc1{nullptr}, fc2{nullptr};
  LayerNorm layernorm_before{nullptr}, layernorm_after{nullptr};
};

ViTConfig ViTConfig::from_json(const std::string& text) {
  const train::ConfigReader reader("ViTConfig", text, "vit");
  ViTConfig c;
  reader.read("hidden_size", c.hidden_size);
  reader.read("num_hidden_layers", c.num_hidden_layers);
  reader.read("num_attention_heads", c.num_attention_heads);
  reader.read("intermediate_size", c.intermediate_size);
  reader.read("hidden_act", c.hidden_act);
  reader.read("hidden_dropout_prob", c.hidden_dropout_prob);
  reader.read("attention_probs_dropout_prob", c.attention_probs_dropout_prob);
  reader.read("initializer_range", c.initializer_range);
  reader.read("layer_norm_eps", c.layer_norm_eps);
  reader.read_each("image_size", c.image_size, 2);
  reader.read_each("patch_size", c.patch_size, 2);
  reader.read("num_channels", c.num_channels);
  reader.read("qkv_bias", c.qkv_bias);
  reader.read_classes(c.classes);
  c.validate();
  return c;
}

std::string ViTConfig::to_json() const {
  Json json{{"architectures", {"ViTForImageClassification"}},
            {"model_type", "vit"},
            {"hidden_size", hidden_size},
            {"num_hidden_layers", num_hidden_layers},
            {"num_attention_heads", num_attention_heads},
            {"intermediate_size", intermediate_size},
            {"hidden_act", hidden_act},
            {"hidden_dropout_prob", hidden_dropout_prob},
            {"attention_probs_dropout_prob", attention_probs_dropout_prob},
            {"initializer_range", initializer_range},
            {"layer_norm_eps", layer_norm_eps},
            {"image_size", one_or_list(image_size)},
            {"patch_size", one_or_list(patch_size)},
            {"num_channels", num_channels},
            {"qkv_bias", qkv_bias}};
  train::write_classes(json, classes);
  return train::dump_json(json, 2);
}

void ViTConfig::validate() const {
  TORCH_CHECK_VALUE(image_size.size() == 2 && patch_size.size() == 2, "[ViTConfig] image_size and patch_size: got ", image_size.size(),
                    " and ", patch_size.size(), " numbers, expected a height and a width each");
  train::check_sizes("ViTConfig", {{"hidden_size", hidden_size},
                                   {"num_hidden_layers", num_hidden_layers},
                                   {"num_attention_heads", num_attention_heads},
                                   {"intermediate_size", intermediate_size},
                                   {"image_size", image_size[0]},
                                   {"image_size", image_size[1]},
                                   {"patch_size", patch_size[0]},
                                   {"patch_size", patch_size[1]},
                                   {"num_channels", num_channels}});
  TORCH_CHECK_VALUE(patch_size[0] <= image_size[0] && patch_size[1] <= image_size[1], "[ViTConfig] patch_size: got ", patch_size,
                    ", expected at most image_size = ", image_size);
  TORCH_CHECK_VALUE(hidden_size % num_attention_heads == 0, "[ViTConfig] hidden_size (", hidden_size,
                    ") must be a multiple of num_attention_heads (", num_attention_heads, ")");
  train::check_activation("ViTConfig", "hidden_act", hidden_act);
  train::check_probabilities(
      "ViTConfig", {{"hidden_dropout_prob", hidden_dropout_prob}, {"attention_probs_dropout_prob", attention_probs_dropout_prob}});
  train::check_classes("ViTConfig", classes);
}

ViTForImageClassificationImpl::ViTForImageClassificationImpl(ViTConfig config) : config_(std::move(config)) {
  config_.validate();
  const int64_t e = config_.hidden_size;
  const int64_t patches = (config_.image_size[0] / config_.patch_size[0]) * (config_.image_size[1] / config_.patch_size[1]);
  const auto vit = train::branch(*this, "vit"), embeddings = train::branch(*vit, "embeddings");
  cls_token_ = embeddings->register_parameter("cls_token", at::empty({1, 1, e}));
  positions_ = embeddings->register_parameter("position_embeddings", at::empty({1, 1 + patches, e}));
  const torch::ExpandingArray<2> patch(config_.patch_size);
  projection_ =
      train::branch(*embeddings, "patch_embeddings")
          ->register_module("projection", torch::nn::Conv2d(torch::nn::Conv2dOptions(config_.num_channels, e, patch).stride(patch)));
  const auto layers = train::branch(*vit, "layers");
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    layers_.push_back(layers->register_module(std::to_string(i), std::make_shared<ViTLayerImpl>(config_)));
  }
  norm_ = vit->register_module("layernorm", LayerNorm(LayerNormOptions({e}).eps(config_.layer_norm_eps)));
  classifier_ = register_module("classifier", Linear(e, config_.classes.size()));
  train::initialize(*this, config_.initializer_range);
}

at::Tensor ViTForImageClassificationImpl::logits(const at::Tensor& pixels) {
  const auto& size = config_.image_size;
  TORCH_CHECK(pixels.dim() == 4 && pixels.sizes().slice(1) == c10::IntArrayRef({config_.num_channels, size[0], size[1]}),
              "[ViT] pixel_values: got ", pixels.sizes(), ", expected [batch, ", config_.num_channels, ", ", size[0], ", ", size[1], "]");
  at::Tensor x = projection_(pixels).flatten(2).transpose(1, 2);  // [B, patches, E]
  x = at::cat({cls_token_.expand({x.size(0), -1, -1}), x}, 1) + positions_;
  x = at::dropout(x, config_.hidden_dropout_prob, is_training());
  for (const auto& layer : layers_) {
    if (checkpointing_ && is_training()) {
      x = train::checkpoint([layer](const at::Tensor& in) { return layer->forward(in); }, x, layer->parameters());
    } else {
      x = layer->forward(x);
    }
  }
  return classifier_(norm_(x.select(1, 0)));  // a norm is over each token alone
}

ModelOutput ViTForImageClassificationImpl::forward(const Batch& batch) {
  const auto pixels = batch.find("pixel_values"), labels = batch.find("labels");
  TORCH_CHECK(pixels != batch.end(), "[ViT] the batch has no field pixel_values");
  ModelOutput output;
  output.predictions = {logits(pixels->second)};
  if (labels != batch.end()) {
    output.loss = train::classification_loss("ViT", output.predictions.front(), labels->second, config_.classes);
  }
  return output;
}

void ViTForImageClassificationImpl::set_gradient_checkpointing(bool on) {
  checkpointing_ = on;
}

void ViTForImageClassificationImpl::save_config(const std::string& folder) const {
  train::save_config("ViT", folder, config_.to_json());
}

void ViTForImageClassificationImpl::save_pretrained(const std::string& folder) const {
  train::Weights weights;
  for (const auto& [name, tensor] : state_dict(*this)) {
    weights[renamed(name, /*to_file=*/true)] = tensor;
  }
  train::save_folder("ViT", folder, config_.to_json(), weights);
}

std::shared_ptr<ViTForImageClassificationImpl> ViTForImageClassificationImpl::from_pretrained(const std::string& folder,
                                                                                              const std::optional<Classes>& classes) {
  ViTConfig config = ViTConfig::from_json(train::read_config("ViT", folder));
  config.classes = classes.value_or(config.classes);
  auto model = std::make_shared<ViTForImageClassificationImpl>(config);
  train::Weights weights;
  for (const auto& [name, tensor] : train::with_prefix(train::read_weights("ViT", folder), "vit.", "classifier.")) {
    if (!name.starts_with("vit.pooler.")) {  // a model without a head may have one
      weights[renamed(name, /*to_file=*/false)] = tensor;
    }
  }
  if (classes) {
    train::keep_own(weights, *model, "classifier.");
  }
  train::load_weights(*model, "ViT", folder, weights);
  return model;
}

}  // namespace torch_hpu
