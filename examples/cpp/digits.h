// What the two digits programs share: the data and the net.
#pragma once

#include <torch/nn.h>
#include <torch_hpu/safetensors.h>

struct Digits {
  torch::Tensor train_images, train_labels;  // [N, 1, 8, 8] float, [N] int64
  torch::Tensor test_images, test_labels;
};

inline Digits load_digits(const std::string& path) {
  const auto file = torch_hpu::load_safetensors(path);
  for (const char* name : {"images", "labels", "train", "test"}) {
    TORCH_CHECK(file.count(name) == 1, path, " has no tensor '", name, "'; make the file with tools/make_digits.py");
  }
  const auto images = file.at("images").unsqueeze(1), labels = file.at("labels");
  const auto train = file.at("train"), test = file.at("test");
  return {images.index_select(0, train), labels.index_select(0, train), images.index_select(0, test), labels.index_select(0, test)};
}

// Two convolutions, two linear layers: 8x8 pixels to 10 scores.
struct DigitsNetImpl : torch::nn::Module {
  torch::nn::Conv2d conv1{torch::nn::Conv2dOptions(1, 32, 3).padding(1)};
  torch::nn::BatchNorm2d norm1{32};
  torch::nn::Conv2d conv2{torch::nn::Conv2dOptions(32, 64, 3).padding(1)};
  torch::nn::BatchNorm2d norm2{64};
  torch::nn::Linear hidden{64 * 2 * 2, 128};
  torch::nn::Linear scores{128, 10};

  DigitsNetImpl() {
    register_module("conv1", conv1);
    register_module("norm1", norm1);
    register_module("conv2", conv2);
    register_module("norm2", norm2);
    register_module("hidden", hidden);
    register_module("scores", scores);
  }

  torch::Tensor forward(torch::Tensor x) {  // [N, 1, 8, 8] -> [N, 10]
    x = torch::max_pool2d(torch::relu(norm1(conv1(x))), 2);
    x = torch::max_pool2d(torch::relu(norm2(conv2(x))), 2);
    return scores(torch::relu(hidden(x.flatten(1))));
  }
};
TORCH_MODULE(DigitsNet);

// Parameters and buffers by their Python state_dict names.
inline std::map<std::string, torch::Tensor> state_dict(const torch::nn::Module& module) {
  std::map<std::string, torch::Tensor> state;
  for (const auto& p : module.named_parameters()) {
    state[p.key()] = p.value();
  }
  for (const auto& b : module.named_buffers()) {
    state[b.key()] = b.value();
  }
  return state;
}

inline void load_state_dict(torch::nn::Module& module, const std::map<std::string, torch::Tensor>& state) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : state_dict(module)) {
    const auto it = state.find(name);
    TORCH_CHECK(it != state.end(), "the weights have no tensor '", name, "'");
    TORCH_CHECK(it->second.sizes() == tensor.sizes(), "tensor '", name, "': got shape ", it->second.sizes(), ", expected ", tensor.sizes());
    tensor.copy_(it->second);
  }
}
