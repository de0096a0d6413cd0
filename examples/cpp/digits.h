// What the two digits programs share: the data, and the form in which each kind of model sees it.
#pragma once

#include <torch/nn/functional/upsampling.h>
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

// A ViT cuts the 8x8 pixels into patches of two by two; a ResNet, whose first layers make images four times smaller, gets them enlarged.
inline torch::Tensor pixel_values(const std::string& model_type, const torch::Tensor& images) {
  namespace F = torch::nn::functional;
  return model_type == "vit"
             ? images
             : F::interpolate(
                   images, F::InterpolateFuncOptions().scale_factor(std::vector<double>{4, 4}).mode(torch::kBilinear).align_corners(false));
}
