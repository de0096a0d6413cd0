// ViT: names, shapes and mathematics of transformers' ViTForImageClassification (https://arxiv.org/abs/2010.11929), so that its folders can be read
// and written.
#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch_hpu/models/classes.h>
#include <torch_hpu/trainer.h>

#include <optional>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct TORCH_HPU_API ViTConfig {
  int64_t hidden_size = 768;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t intermediate_size = 3072;
  std::string hidden_act = "gelu";  // also gelu_new, relu
  double hidden_dropout_prob = 0, attention_probs_dropout_prob = 0;
  double initializer_range = 0.02;
  double layer_norm_eps = 1e-12;
  std::vector<int64_t> image_size{224, 224};  // height, width
  std::vector<int64_t> patch_size{16, 16};
  int64_t num_channels = 3;
  bool qkv_bias = true;
  Classes classes;

  // config.json of a ViT folder. Fields that change the mathematics in ways that are not supported are refused by name.
  static ViTConfig from_json(const std::string& json);
  std::string to_json() const;
  void validate() const;
};

struct ViTLayerImpl;

class TORCH_HPU_API ViTForImageClassificationImpl : public torch::nn::Module {
 public:
  explicit ViTForImageClassificationImpl(ViTConfig config);

  at::Tensor logits(const at::Tensor& pixel_values);  // [B, num_channels, height, width] -> [B, classes]
  // Fields pixel_values and, for a loss, labels, see Classes.
  ModelOutput forward(const Batch& batch);

  void set_gradient_checkpointing(bool on);
  void save_config(const std::string& folder) const;  // config.json
  // The tensors under the names that transformers gives them in files: those of its version 4.
  void save_pretrained(const std::string& folder) const;
  // Tensors under the names of files or of modules. With classes: a new head for them, whatever head the folder has, and be it none.
  static std::shared_ptr<ViTForImageClassificationImpl> from_pretrained(const std::string& folder,
                                                                        const std::optional<Classes>& classes = {});
  const ViTConfig& config() const {
    return config_;
  }

 private:
  ViTConfig config_;
  bool checkpointing_ = false;
  at::Tensor cls_token_, positions_;  // [1, 1, E], [1, 1 + patches, E]
  torch::nn::Conv2d projection_{nullptr};
  std::vector<std::shared_ptr<ViTLayerImpl>> layers_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Linear classifier_{nullptr};
};
TORCH_MODULE(ViTForImageClassification);

}  // namespace torch_hpu
