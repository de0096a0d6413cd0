// BERT: names, shapes and mathematics of transformers' BertModel and BertForSequenceClassification, so that their folders can be read and written;
// and sentence embeddings as sentence-transformers makes them of such a model.
#pragma once

#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch_hpu/models/classes.h>
#include <torch_hpu/token_batch.h>
#include <torch_hpu/trainer.h>

#include <optional>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct TORCH_HPU_API BertConfig {
  int64_t vocab_size = 30522;
  int64_t hidden_size = 768;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t intermediate_size = 3072;
  std::string hidden_act = "gelu";  // also gelu_new, relu
  double hidden_dropout_prob = 0.1, attention_probs_dropout_prob = 0.1;
  std::optional<double> classifier_dropout;  // by default hidden_dropout_prob
  int64_t max_position_embeddings = 512;
  int64_t type_vocab_size = 2;
  double initializer_range = 0.02;
  double layer_norm_eps = 1e-12;
  std::optional<int64_t> pad_token_id = 0;  // its embedding gets no gradient
  Classes classes;

  // config.json of a BERT folder. Fields that change the mathematics in ways that are not supported are refused by name.
  static BertConfig from_json(const std::string& json);
  std::string to_json(const std::string& architecture = "BertModel") const;
  void validate() const;
};

struct BertModelOutput {
  at::Tensor last_hidden_state;  // [B, T, hidden_size]
  at::Tensor pooler_output;      // [B, hidden_size]; undefined without a pooler
};

struct BertLayerImpl;

class TORCH_HPU_API BertModelImpl : public torch::nn::Module {
 public:
  explicit BertModelImpl(BertConfig config, bool add_pooling_layer = true);

  // input_ids [B, T] int64; attention_mask [B, T] or [B, T, T], 1 where tokens may be seen, by default everywhere; token_type_ids [B, T] int64, by
  // default 0.
  BertModelOutput forward(const at::Tensor& input_ids, const at::Tensor& attention_mask = {}, const at::Tensor& token_type_ids = {});

  void set_gradient_checkpointing(bool on);
  void save_config(const std::string& folder) const;  // config.json
  void save_pretrained(const std::string& folder) const;
  // Also the body of a model with a head.
  static std::shared_ptr<BertModelImpl> from_pretrained(const std::string& folder, bool add_pooling_layer = true);
  const BertConfig& config() const {
    return config_;
  }

 private:
  BertConfig config_;
  bool checkpointing_ = false;
  torch::nn::Embedding words_{nullptr}, positions_{nullptr}, types_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
  std::vector<std::shared_ptr<BertLayerImpl>> layers_;
  torch::nn::Linear pooler_{nullptr};
};
TORCH_MODULE(BertModel);

class TORCH_HPU_API BertForSequenceClassificationImpl : public torch::nn::Module {
 public:
  explicit BertForSequenceClassificationImpl(BertConfig config);

  at::Tensor logits(const at::Tensor& input_ids, const at::Tensor& attention_mask = {},
                    const at::Tensor& token_type_ids = {});  // [B, classes]
  // Fields input_ids and, if there are, attention_mask and token_type_ids; for a loss labels, see Classes.
  ModelOutput forward(const Batch& batch);

  void set_gradient_checkpointing(bool on);
  void save_config(const std::string& folder) const;  // config.json
  void save_pretrained(const std::string& folder) const;
  // With classes: a new head for them, whatever head the folder has, and be it none.
  static std::shared_ptr<BertForSequenceClassificationImpl> from_pretrained(const std::string& folder,
                                                                            const std::optional<Classes>& classes = {});
  const BertConfig& config() const {
    return bert_->config();
  }

 private:
  BertModel bert_{nullptr};
  double dropout_;
  torch::nn::Linear classifier_{nullptr};
};
TORCH_MODULE(BertForSequenceClassification);

// Means of the token states over the mask, of length 1: [B, hidden_size]. As the model all-MiniLM-L6-v2 of sentence-transformers makes them.
TORCH_HPU_API at::Tensor sentence_embeddings(BertModel& model, const at::Tensor& input_ids, const at::Tensor& attention_mask,
                                             const at::Tensor& token_type_ids = {});
// On the model's device.
TORCH_HPU_API at::Tensor sentence_embeddings(BertModel& model, const TokenBatch& tokens);

}  // namespace torch_hpu
