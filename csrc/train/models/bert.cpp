#include <torch_hpu/models/bert.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros_like.h>
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
using train::branch;

bool ends_in_buffer(const std::string& name) {
  return name.ends_with("embeddings.position_ids") || name.ends_with("embeddings.token_type_ids");
}

// Tensors of a folder under the names of a BertForSequenceClassification: heads of other tasks and buffers go, names of the first checkpoints
// (gamma, beta) are today's.
train::Weights read_bert(const std::string& folder) {
  train::Weights weights;
  for (auto& [name, tensor] : train::with_prefix(train::read_weights("BERT", folder), "bert.", "classifier.")) {
    if (name.starts_with("cls.") || ends_in_buffer(name)) {
      continue;
    }
    const bool gamma = name.ends_with("LayerNorm.gamma"), beta = name.ends_with("LayerNorm.beta");
    weights[gamma ? name.substr(0, name.size() - 5) + "weight" : beta ? name.substr(0, name.size() - 4) + "bias" : name] = tensor;
  }
  return weights;
}

}  // namespace

// One block: attention, then a network of two layers; norms behind the sums.
struct BertLayerImpl : torch::nn::Module {
  explicit BertLayerImpl(const BertConfig& c)
      : heads(c.num_attention_heads),
        hidden_act(c.hidden_act),
        hidden_dropout(c.hidden_dropout_prob),
        attention_dropout(c.attention_probs_dropout_prob) {
    const int64_t e = c.hidden_size;
    const auto norm = LayerNormOptions({e}).eps(c.layer_norm_eps);
    const auto attention = branch(*this, "attention"), self = branch(*attention, "self"), mixed = branch(*attention, "output");
    query = self->register_module("query", Linear(e, e));
    key = self->register_module("key", Linear(e, e));
    value = self->register_module("value", Linear(e, e));
    attention_dense = mixed->register_module("dense", Linear(e, e));
    attention_norm = mixed->register_module("LayerNorm", LayerNorm(norm));
    inner_dense = branch(*this, "intermediate")->register_module("dense", Linear(e, c.intermediate_size));
    const auto output = branch(*this, "output");
    output_dense = output->register_module("dense", Linear(c.intermediate_size, e));
    output_norm = output->register_module("LayerNorm", LayerNorm(norm));
  }

  // x [B, T, E]; mask [B, 1, 1 or T, T] bool, true where a token is seen, or undefined.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask) {
    const int64_t b = x.size(0), t = x.size(1), e = x.size(2);
    const auto seen = mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt;
    const auto by_head = [&](Linear& layer) { return layer(x).view({b, t, heads, e / heads}).transpose(1, 2); };  // [B, H, T, D]
    const at::Tensor mixed =
        at::scaled_dot_product_attention(by_head(query), by_head(key), by_head(value), seen, is_training() ? attention_dropout : 0.0);
    const at::Tensor attended = attention_norm(drop(attention_dense(mixed.transpose(1, 2).reshape({b, t, e}))) + x);
    return output_norm(drop(output_dense(train::activation(hidden_act, inner_dense(attended)))) + attended);
  }

  at::Tensor drop(const at::Tensor& x) const {
    return at::dropout(x, hidden_dropout, is_training());
  }

  int64_t heads;
  std::string hidden_act;
  double hidden_dropout, attention_dropout;
  Linear query{nullptr}, key{nullptr}, value{nullptr}, attention_dense{nullptr}, inner_dense{nullptr}, output_dense{nullptr};
  LayerNorm attention_norm{nullptr}, output_norm{nullptr};
};

BertConfig BertConfig::from_json(const std::string& text) {
  const train::ConfigReader reader("BertConfig", text, "bert");
  reader.expect("is_decoder", false);
  reader.expect("add_cross_attention", false);
  reader.expect("position_embedding_type", "absolute");
  BertConfig c;
  reader.read("vocab_size", c.vocab_size);
  reader.read("hidden_size", c.hidden_size);
  reader.read("num_hidden_layers", c.num_hidden_layers);
  reader.read("num_attention_heads", c.num_attention_heads);
  reader.read("intermediate_size", c.intermediate_size);
  reader.read("hidden_act", c.hidden_act);
  reader.read("hidden_dropout_prob", c.hidden_dropout_prob);
  reader.read("attention_probs_dropout_prob", c.attention_probs_dropout_prob);
  reader.read("classifier_dropout", c.classifier_dropout);
  reader.read("max_position_embeddings", c.max_position_embeddings);
  reader.read("type_vocab_size", c.type_vocab_size);
  reader.read("initializer_range", c.initializer_range);
  reader.read("layer_norm_eps", c.layer_norm_eps);
  reader.read("pad_token_id", c.pad_token_id);
  reader.read_classes(c.classes);
  c.validate();
  return c;
}

std::string BertConfig::to_json(const std::string& architecture) const {
  Json json{{"architectures", {architecture}},
            {"model_type", "bert"},
            {"vocab_size", vocab_size},
            {"hidden_size", hidden_size},
            {"num_hidden_layers", num_hidden_layers},
            {"num_attention_heads", num_attention_heads},
            {"intermediate_size", intermediate_size},
            {"hidden_act", hidden_act},
            {"hidden_dropout_prob", hidden_dropout_prob},
            {"attention_probs_dropout_prob", attention_probs_dropout_prob},
            {"classifier_dropout", classifier_dropout ? Json(*classifier_dropout) : Json()},
            {"max_position_embeddings", max_position_embeddings},
            {"type_vocab_size", type_vocab_size},
            {"initializer_range", initializer_range},
            {"layer_norm_eps", layer_norm_eps},
            {"pad_token_id", pad_token_id ? Json(*pad_token_id) : Json()}};
  train::write_classes(json, classes);
  return train::dump_json(json, 2);
}

void BertConfig::validate() const {
  train::check_sizes("BertConfig", {{"vocab_size", vocab_size},
                                    {"hidden_size", hidden_size},
                                    {"num_hidden_layers", num_hidden_layers},
                                    {"num_attention_heads", num_attention_heads},
                                    {"intermediate_size", intermediate_size},
                                    {"max_position_embeddings", max_position_embeddings},
                                    {"type_vocab_size", type_vocab_size}});
  TORCH_CHECK_VALUE(hidden_size % num_attention_heads == 0, "[BertConfig] hidden_size (", hidden_size,
                    ") must be a multiple of num_attention_heads (", num_attention_heads, ")");
  TORCH_CHECK_VALUE(!pad_token_id || (*pad_token_id >= 0 && *pad_token_id < vocab_size), "[BertConfig] pad_token_id: got ",
                    pad_token_id.value_or(0), ", expected 0 or more and below vocab_size = ", vocab_size);
  train::check_activation("BertConfig", "hidden_act", hidden_act);
  train::check_probabilities("BertConfig", {{"hidden_dropout_prob", hidden_dropout_prob},
                                            {"attention_probs_dropout_prob", attention_probs_dropout_prob},
                                            {"classifier_dropout", classifier_dropout.value_or(0)}});
  train::check_classes("BertConfig", classes);
}

BertModelImpl::BertModelImpl(BertConfig config, bool add_pooling_layer) : config_(std::move(config)) {
  config_.validate();
  const int64_t e = config_.hidden_size;
  const auto embeddings = branch(*this, "embeddings");
  torch::nn::EmbeddingOptions words(config_.vocab_size, e);
  words_ = embeddings->register_module("word_embeddings",
                                       torch::nn::Embedding(config_.pad_token_id ? words.padding_idx(*config_.pad_token_id) : words));
  positions_ = embeddings->register_module("position_embeddings", torch::nn::Embedding(config_.max_position_embeddings, e));
  types_ = embeddings->register_module("token_type_embeddings", torch::nn::Embedding(config_.type_vocab_size, e));
  norm_ = embeddings->register_module("LayerNorm", LayerNorm(LayerNormOptions({e}).eps(config_.layer_norm_eps)));
  const auto layers = branch(*branch(*this, "encoder"), "layer");
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    layers_.push_back(layers->register_module(std::to_string(i), std::make_shared<BertLayerImpl>(config_)));
  }
  if (add_pooling_layer) {
    pooler_ = branch(*this, "pooler")->register_module("dense", Linear(e, e));
  }
  train::initialize(*this, config_.initializer_range);
  if (config_.pad_token_id) {
    const torch::NoGradGuard no_grad;
    words_->weight[*config_.pad_token_id].zero_();
  }
}

BertModelOutput BertModelImpl::forward(const at::Tensor& ids, const at::Tensor& attention_mask, const at::Tensor& token_type_ids) {
  TORCH_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong, "[BERT] input_ids: got ", ids.scalar_type(), " ", ids.sizes(),
              ", expected int64 [batch, tokens]");
  const int64_t b = ids.size(0), t = ids.size(1);
  TORCH_CHECK(t <= config_.max_position_embeddings, "[BERT] input_ids: got ", t,
              " tokens, expected at most max_position_embeddings = ", config_.max_position_embeddings);
  at::Tensor mask;
  if (attention_mask.defined()) {
    const bool square = attention_mask.dim() == 3;
    TORCH_CHECK(attention_mask.sizes() == (square ? c10::IntArrayRef({b, t, t}) : ids.sizes()), "[BERT] attention_mask: got ",
                attention_mask.sizes(), ", expected ", ids.sizes());
    mask = attention_mask.ne(0).view({b, 1, square ? t : 1, t});
  }
  TORCH_CHECK(!token_type_ids.defined() || token_type_ids.sizes() == ids.sizes(), "[BERT] token_type_ids: got ", token_type_ids.sizes(),
              ", expected ", ids.sizes());
  const at::Tensor types = token_type_ids.defined() ? token_type_ids : at::zeros_like(ids);
  at::Tensor x = norm_(words_(ids) + types_(types) + positions_(at::arange(t, ids.options())));
  x = at::dropout(x, config_.hidden_dropout_prob, is_training());
  for (const auto& layer : layers_) {
    if (checkpointing_ && is_training()) {
      x = train::checkpoint([layer, mask](const at::Tensor& in) { return layer->forward(in, mask); }, x, layer->parameters());
    } else {
      x = layer->forward(x, mask);
    }
  }
  return {x, pooler_.is_empty() ? at::Tensor() : pooler_(x.select(1, 0)).tanh()};
}

void BertModelImpl::set_gradient_checkpointing(bool on) {
  checkpointing_ = on;
}

void BertModelImpl::save_config(const std::string& folder) const {
  train::save_config("BERT", folder, config_.to_json());
}

void BertModelImpl::save_pretrained(const std::string& folder) const {
  train::save_folder("BERT", folder, config_.to_json(), state_dict(*this));
}

std::shared_ptr<BertModelImpl> BertModelImpl::from_pretrained(const std::string& folder, bool add_pooling_layer) {
  auto model = std::make_shared<BertModelImpl>(BertConfig::from_json(train::read_config("BERT", folder)), add_pooling_layer);
  train::Weights body;
  for (const auto& [name, tensor] : read_bert(folder)) {
    const bool unused = name.starts_with("classifier.") || (!add_pooling_layer && name.starts_with("bert.pooler."));
    if (!unused) {
      body[name.starts_with("bert.") ? name.substr(5) : name] = tensor;
    }
  }
  train::load_weights(*model, "BERT", folder, body);
  return model;
}

BertForSequenceClassificationImpl::BertForSequenceClassificationImpl(BertConfig config)
    : dropout_(config.classifier_dropout.value_or(config.hidden_dropout_prob)) {
  bert_ = register_module("bert", BertModel(std::move(config)));
  classifier_ = register_module("classifier", Linear(bert_->config().hidden_size, bert_->config().classes.size()));
  train::initialize(*classifier_, bert_->config().initializer_range);
}

at::Tensor BertForSequenceClassificationImpl::logits(const at::Tensor& input_ids, const at::Tensor& attention_mask,
                                                     const at::Tensor& token_type_ids) {
  const at::Tensor pooled = bert_->forward(input_ids, attention_mask, token_type_ids).pooler_output;
  return classifier_(at::dropout(pooled, dropout_, is_training()));
}

ModelOutput BertForSequenceClassificationImpl::forward(const Batch& batch) {
  const auto field = [&](const char* name) {
    const auto it = batch.find(name);
    return it == batch.end() ? at::Tensor() : it->second;
  };
  TORCH_CHECK(batch.count("input_ids") == 1, "[BERT] the batch has no field input_ids");
  ModelOutput output;
  output.predictions = {logits(field("input_ids"), field("attention_mask"), field("token_type_ids"))};
  if (const at::Tensor labels = field("labels"); labels.defined()) {
    output.loss = train::classification_loss("BERT", output.predictions.front(), labels, config().classes);
  }
  return output;
}

void BertForSequenceClassificationImpl::set_gradient_checkpointing(bool on) {
  bert_->set_gradient_checkpointing(on);
}

void BertForSequenceClassificationImpl::save_config(const std::string& folder) const {
  train::save_config("BERT", folder, config().to_json("BertForSequenceClassification"));
}

void BertForSequenceClassificationImpl::save_pretrained(const std::string& folder) const {
  train::save_folder("BERT", folder, config().to_json("BertForSequenceClassification"), state_dict(*this));
}

std::shared_ptr<BertForSequenceClassificationImpl> BertForSequenceClassificationImpl::from_pretrained(
    const std::string& folder, const std::optional<Classes>& classes) {
  BertConfig config = BertConfig::from_json(train::read_config("BERT", folder));
  config.classes = classes.value_or(config.classes);
  auto model = std::make_shared<BertForSequenceClassificationImpl>(config);
  train::Weights weights = read_bert(folder);
  if (classes) {
    train::keep_own(weights, *model, "classifier.");
  }
  train::load_weights(*model, "BERT", folder, weights);
  return model;
}

at::Tensor sentence_embeddings(BertModel& model, const at::Tensor& input_ids, const at::Tensor& attention_mask,
                               const at::Tensor& token_type_ids) {
  const at::Tensor states = model->forward(input_ids, attention_mask, token_type_ids).last_hidden_state;
  const at::Tensor seen = attention_mask.to(states.scalar_type()).unsqueeze(-1);  // [B, T, 1]
  const at::Tensor mean = (states * seen).sum(1) / seen.sum(1).clamp_min(1e-9);
  return mean / mean.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12);
}

at::Tensor sentence_embeddings(BertModel& model, const TokenBatch& tokens) {
  const c10::Device device = model->parameters().front().device();
  return sentence_embeddings(model, tokens.input_ids.to(device), tokens.attention_mask.to(device), tokens.token_type_ids.to(device));
}

}  // namespace torch_hpu
