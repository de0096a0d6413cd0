#include <torch_hpu/models/conv_net.h>

#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch_hpu/state_dict.h>

#include "csrc/train/json_text.h"
#include "csrc/train/models/pretrained.h"

namespace torch_hpu {
namespace {

using Json = nlohmann::ordered_json;
using Parent = std::shared_ptr<torch::nn::Module>;
using train::branch;

constexpr int64_t kReduction = 4;  // of channels within a bottleneck

}  // namespace

// A convolution without a bias, and the norm of its batch.
struct ResNetConvImpl : torch::nn::Module {
  ResNetConvImpl(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
    convolution = register_module(
        "convolution", torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false)));
    normalization = register_module("normalization", torch::nn::BatchNorm2d(out));
    torch::nn::init::kaiming_normal_(convolution->weight, 0, torch::kFanOut, torch::kReLU);
  }
  at::Tensor forward(const at::Tensor& x) {
    return normalization(convolution(x));
  }
  torch::nn::Conv2d convolution{nullptr};
  torch::nn::BatchNorm2d normalization{nullptr};
};

// Two or three convolutions beside a shortcut, which is a convolution, too, where sizes change.
struct ResNetLayerImpl : torch::nn::Module {
  ResNetLayerImpl(const ResNetConfig& c, int64_t in, int64_t out, int64_t stride) : hidden_act(c.hidden_act) {
    if (in != out || stride != 1) {
      shortcut = register_module("shortcut", std::make_shared<ResNetConvImpl>(in, out, 1, stride));
    }
    const Parent layer = branch(*this, "layer");
    const auto add = [&](int64_t from, int64_t to, int64_t kernel, int64_t step) {
      convolutions.push_back(
          layer->register_module(std::to_string(convolutions.size()), std::make_shared<ResNetConvImpl>(from, to, kernel, step)));
    };
    if (c.layer_type == "basic") {
      add(in, out, 3, stride);
      add(out, out, 3, 1);
    } else {
      const int64_t inner = out / kReduction;
      add(in, inner, 1, c.downsample_in_bottleneck ? stride : 1);
      add(inner, inner, 3, c.downsample_in_bottleneck ? 1 : stride);
      add(inner, out, 1, 1);
    }
  }
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = x;
    for (size_t i = 0; i < convolutions.size(); ++i) {
      y = convolutions[i]->forward(y);
      y = i + 1 < convolutions.size() ? at::relu(y) : y;  // whatever hidden_act is
    }
    return train::activation(hidden_act, y + (shortcut ? shortcut->forward(x) : x));
  }
  std::string hidden_act;
  std::shared_ptr<ResNetConvImpl> shortcut;
  std::vector<std::shared_ptr<ResNetConvImpl>> convolutions;
};

ResNetConfig ResNetConfig::from_json(const std::string& text) {
  const train::ConfigReader reader("ResNetConfig", text, "resnet");
  ResNetConfig c;
  reader.read("num_channels", c.num_channels);
  reader.read("embedding_size", c.embedding_size);
  reader.read("hidden_sizes", c.hidden_sizes);
  reader.read("depths", c.depths);
  reader.read("layer_type", c.layer_type);
  reader.read("hidden_act", c.hidden_act);
  reader.read("downsample_in_first_stage", c.downsample_in_first_stage);
  reader.read("downsample_in_bottleneck", c.downsample_in_bottleneck);
  reader.read_classes(c.classes);
  c.validate();
  return c;
}

std::string ResNetConfig::to_json() const {
  Json json{{"architectures", {"ResNetForImageClassification"}},
            {"model_type", "resnet"},
            {"num_channels", num_channels},
            {"embedding_size", embedding_size},
            {"hidden_sizes", hidden_sizes},
            {"depths", depths},
            {"layer_type", layer_type},
            {"hidden_act", hidden_act},
            {"downsample_in_first_stage", downsample_in_first_stage},
            {"downsample_in_bottleneck", downsample_in_bottleneck}};
  train::write_classes(json, classes);
  return train::dump_json(json, 2);
}

void ResNetConfig::validate() const {
  train::check_sizes("ResNetConfig", {{"num_channels", num_channels}, {"embedding_size", embedding_size}});
  TORCH_CHECK_VALUE(!depths.empty() && depths.size() == hidden_sizes.size(), "[ResNetConfig] depths and hidden_sizes: got ", depths.size(),
                    " and ", hidden_sizes.size(), " numbers, expected one for each stage");
  for (size_t i = 0; i < depths.size(); ++i) {
    train::check_sizes("ResNetConfig", {{"depths", depths[i]}, {"hidden_sizes", hidden_sizes[i]}});
  }
  TORCH_CHECK_VALUE(layer_type == "basic" || layer_type == "bottleneck", "[ResNetConfig] layer_type: got '", layer_type,
                    "', expected basic or bottleneck");
  for (const int64_t size : hidden_sizes) {
    TORCH_CHECK_VALUE(layer_type == "basic" || size >= kReduction, "[ResNetConfig] hidden_sizes: got ", hidden_sizes,
                      ", expected at least ", kReduction, " channels for bottlenecks");
  }
  train::check_activation("ResNetConfig", "hidden_act", hidden_act);
  train::check_classes("ResNetConfig", classes);
}

ResNetForImageClassificationImpl::ResNetForImageClassificationImpl(ResNetConfig config) : config_(std::move(config)) {
  config_.validate();
  const Parent resnet = branch(*this, "resnet");
  stem_ = branch(*resnet, "embedder")
              ->register_module("embedder", std::make_shared<ResNetConvImpl>(config_.num_channels, config_.embedding_size, 7, 2));
  const Parent stages = branch(*branch(*resnet, "encoder"), "stages");
  int64_t channels = config_.embedding_size;
  for (size_t s = 0; s < config_.depths.size(); ++s) {
    const Parent layers = branch(*branch(*stages, std::to_string(s)), "layers");
    for (int64_t i = 0; i < config_.depths[s]; ++i) {
      const int64_t stride = i == 0 && (s > 0 || config_.downsample_in_first_stage) ? 2 : 1;
      layers_.push_back(layers->register_module(std::to_string(i),
                                                std::make_shared<ResNetLayerImpl>(config_, channels, config_.hidden_sizes[s], stride)));
      channels = config_.hidden_sizes[s];
    }
  }
  classifier_ = branch(*this, "classifier")->register_module("1", torch::nn::Linear(channels, config_.classes.size()));
}

at::Tensor ResNetForImageClassificationImpl::logits(const at::Tensor& pixels) {
  TORCH_CHECK(pixels.dim() == 4 && pixels.size(1) == config_.num_channels, "[ResNet] pixel_values: got ", pixels.sizes(),
              ", expected [batch, ", config_.num_channels, ", height, width]");
  at::Tensor x = train::activation(config_.hidden_act, stem_->forward(pixels));
  x = at::max_pool2d(x, 3, 2, 1);
  for (const auto& layer : layers_) {
    x = layer->forward(x);
  }
  return classifier_(x.mean({2, 3}));
}

ModelOutput ResNetForImageClassificationImpl::forward(const Batch& batch) {
  const auto pixels = batch.find("pixel_values"), labels = batch.find("labels");
  TORCH_CHECK(pixels != batch.end(), "[ResNet] the batch has no field pixel_values");
  ModelOutput output;
  output.predictions = {logits(pixels->second)};
  if (labels != batch.end()) {
    output.loss = train::classification_loss("ResNet", output.predictions.front(), labels->second, config_.classes);
  }
  return output;
}

void ResNetForImageClassificationImpl::save_config(const std::string& folder) const {
  train::save_config("ResNet", folder, config_.to_json());
}

void ResNetForImageClassificationImpl::save_pretrained(const std::string& folder) const {
  train::save_folder("ResNet", folder, config_.to_json(), state_dict(*this));
}

std::shared_ptr<ResNetForImageClassificationImpl> ResNetForImageClassificationImpl::from_pretrained(const std::string& folder,
                                                                                                    const std::optional<Classes>& classes) {
  ResNetConfig config = ResNetConfig::from_json(train::read_config("ResNet", folder));
  config.classes = classes.value_or(config.classes);
  auto model = std::make_shared<ResNetForImageClassificationImpl>(config);
  train::Weights weights = train::with_prefix(train::read_weights("ResNet", folder), "resnet.", "classifier.");
  if (classes) {
    train::keep_own(weights, *model, "classifier.");
  }
  train::load_weights(*model, "ResNet", folder, weights);
  return model;
}

}  // namespace torch_hpu
