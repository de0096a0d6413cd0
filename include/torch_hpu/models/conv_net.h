// ResNet: names, shapes and mathematics of transformers' ResNetForImageClassification (https://arxiv.org/abs/1512.03385), so that its folders can be
// read and written.
#pragma once

#include <torch/nn/modules/linear.h>
#include <torch_hpu/models/classes.h>
#include <torch_hpu/trainer.h>

#include <optional>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct TORCH_HPU_API ResNetConfig {
  int64_t num_channels = 3;
  int64_t embedding_size = 64;                              // channels behind the stem, which makes images four times smaller
  std::vector<int64_t> hidden_sizes{256, 512, 1024, 2048};  // channels of each stage
  std::vector<int64_t> depths{3, 4, 6, 3};                  // layers of each stage
  std::string layer_type = "bottleneck";                    // or "basic"
  std::string hidden_act = "relu";                          // also gelu, gelu_new
  bool downsample_in_first_stage = false;                   // stages behind the first always do
  bool downsample_in_bottleneck = false;                    // by the first of a bottleneck's convolutions, not by the second
  Classes classes;

  // config.json of a ResNet folder.
  static ResNetConfig from_json(const std::string& json);
  std::string to_json() const;
  void validate() const;
};

struct ResNetConvImpl;
struct ResNetLayerImpl;

class TORCH_HPU_API ResNetForImageClassificationImpl : public torch::nn::Module {
 public:
  explicit ResNetForImageClassificationImpl(ResNetConfig config);

  at::Tensor logits(const at::Tensor& pixel_values);  // [B, num_channels, height, width] -> [B, classes]
  // Fields pixel_values and, for a loss, labels, see Classes.
  ModelOutput forward(const Batch& batch);

  void save_config(const std::string& folder) const;  // config.json
  void save_pretrained(const std::string& folder) const;
  // With classes: a new head for them, whatever head the folder has, and be it none.
  static std::shared_ptr<ResNetForImageClassificationImpl> from_pretrained(const std::string& folder,
                                                                           const std::optional<Classes>& classes = {});
  const ResNetConfig& config() const {
    return config_;
  }

 private:
  ResNetConfig config_;
  std::shared_ptr<ResNetConvImpl> stem_;
  std::vector<std::shared_ptr<ResNetLayerImpl>> layers_;  // of all stages
  torch::nn::Linear classifier_{nullptr};
};
TORCH_MODULE(ResNetForImageClassification);

}  // namespace torch_hpu
