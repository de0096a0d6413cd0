// The layers that the models are built of: torch's Linear, Conv2d, GroupNorm, LayerNorm and Embedding with the same parameter names and
// the same initialisation, which can be left out when a file is about to supply the values.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace torch_hpu::diffusion {

// While it lives, layers made by this thread get stand-ins of one element for their parameters: shapes without memory.
class StandInParameters {
 public:
  StandInParameters();
  ~StandInParameters();
  StandInParameters(const StandInParameters&) = delete;
  StandInParameters& operator=(const StandInParameters&) = delete;

 private:
  bool previous_;
};

bool stand_in_parameters();  // whether a StandInParameters lives on this thread

// Modules that are named 0, 1, ...
template <typename T>
class Sequence : public torch::nn::Module {
 public:
  std::shared_ptr<T> push(std::shared_ptr<T> item) {
    items_.push_back(register_module(std::to_string(items_.size()), std::move(item)));
    return items_.back();
  }
  size_t size() const {
    return items_.size();
  }
  const std::shared_ptr<T>& operator[](size_t i) const {
    return items_[i];
  }
  auto begin() const {
    return items_.begin();
  }
  auto end() const {
    return items_.end();
  }

 private:
  std::vector<std::shared_ptr<T>> items_;
};

class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias = true);
  at::Tensor forward(const at::Tensor& x) const;  // [..., in] -> [..., out]
  at::Tensor weight, bias;
};

struct ConvShape {
  int64_t in = 0, out = 0, kernel = 3, stride = 1, padding = 1;
};

class Conv2d : public torch::nn::Module {
 public:
  explicit Conv2d(ConvShape shape);
  at::Tensor forward(const at::Tensor& x) const;  // [N, in, H, W] -> [N, out, H', W']
  at::Tensor weight, bias;

 private:
  int64_t stride_, padding_;
};

class GroupNorm : public torch::nn::Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, double eps);  // throws when groups do not divide channels
  at::Tensor forward(const at::Tensor& x) const;            // [N, channels, ...]
  at::Tensor weight, bias;

 private:
  int64_t groups_;
  double eps_;
};

class LayerNorm : public torch::nn::Module {
 public:
  explicit LayerNorm(int64_t size, double eps = 1e-5);
  at::Tensor forward(const at::Tensor& x) const;  // [..., size]
  at::Tensor weight, bias;

 private:
  int64_t size_;
  double eps_;
};

class Embedding : public torch::nn::Module {
 public:
  Embedding(int64_t rows, int64_t size);
  at::Tensor forward(const at::Tensor& ids) const;  // int [...] -> [..., size]
  at::Tensor weight;
};

// By diffusers' or transformers' name; throws for a name that it does not know.
using Activation = std::function<at::Tensor(const at::Tensor&)>;
Activation activation(const std::string& noun, const std::string& field, const std::string& name);

}  // namespace torch_hpu::diffusion
