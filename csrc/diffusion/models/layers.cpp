#include "csrc/diffusion/models/layers.h"

#include <ATen/Functions.h>

#include <cmath>
#include <map>

namespace torch_hpu::diffusion {

namespace {

thread_local bool stand_in = false;

// Uninitialised, or a stand-in.
at::Tensor make_parameter(at::IntArrayRef shape) {
  return stand_in ? at::zeros({}, at::kFloat).expand(shape) : at::empty(shape, at::kFloat);
}

void fill_uniform(at::Tensor& parameter, double bound) {
  if (!stand_in) {
    const at::NoGradGuard no_grad;
    parameter.uniform_(-bound, bound);
  }
}

void fill(at::Tensor& parameter, double value) {
  if (!stand_in) {
    const at::NoGradGuard no_grad;
    parameter.fill_(value);
  }
}

}  // namespace

StandInParameters::StandInParameters() : previous_(stand_in) {
  stand_in = true;
}

StandInParameters::~StandInParameters() {
  stand_in = previous_;
}

bool stand_in_parameters() {
  return stand_in;
}

// torch's kaiming_uniform_(a=sqrt(5)) is a uniform distribution with bound 1/sqrt(fan_in).
Linear::Linear(int64_t in, int64_t out, bool with_bias) {
  weight = register_parameter("weight", make_parameter({out, in}));
  fill_uniform(weight, 1 / std::sqrt(in));
  if (with_bias) {
    bias = register_parameter("bias", make_parameter({out}));
    fill_uniform(bias, 1 / std::sqrt(in));
  }
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  return at::linear(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

Conv2d::Conv2d(ConvShape shape) : stride_(shape.stride), padding_(shape.padding) {
  const double bound = 1 / std::sqrt(shape.in * shape.kernel * shape.kernel);
  weight = register_parameter("weight", make_parameter({shape.out, shape.in, shape.kernel, shape.kernel}));
  fill_uniform(weight, bound);
  bias = register_parameter("bias", make_parameter({shape.out}));
  fill_uniform(bias, bound);
}

at::Tensor Conv2d::forward(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, {stride_, stride_}, {padding_, padding_});
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps) : groups_(groups), eps_(eps) {
  TORCH_CHECK(channels % groups == 0, "[GroupNorm] norm_num_groups must divide the channels: got ", groups, " groups for ", channels,
              " channels");
  weight = register_parameter("weight", make_parameter({channels}));
  bias = register_parameter("bias", make_parameter({channels}));
  fill(weight, 1);
  fill(bias, 0);
}

at::Tensor GroupNorm::forward(const at::Tensor& x) const {
  return at::group_norm(x, groups_, weight, bias, eps_);
}

LayerNorm::LayerNorm(int64_t size, double eps) : size_(size), eps_(eps) {
  weight = register_parameter("weight", make_parameter({size}));
  bias = register_parameter("bias", make_parameter({size}));
  fill(weight, 1);
  fill(bias, 0);
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x, {size_}, weight, bias, eps_);
}

Embedding::Embedding(int64_t rows, int64_t size) {
  weight = register_parameter("weight", make_parameter({rows, size}));
  if (!stand_in) {
    const at::NoGradGuard no_grad;
    weight.normal_();
  }
}

at::Tensor Embedding::forward(const at::Tensor& ids) const {
  return at::embedding(weight, ids);
}

Activation activation(const std::string& noun, const std::string& field, const std::string& name) {
  static const std::map<std::string, Activation> table = {
      {"silu", [](const at::Tensor& x) { return at::silu(x); }},
      {"swish", [](const at::Tensor& x) { return at::silu(x); }},
      {"mish", [](const at::Tensor& x) { return at::mish(x); }},
      {"gelu", [](const at::Tensor& x) { return at::gelu(x); }},
      {"relu", [](const at::Tensor& x) { return at::relu(x); }},
      {"quick_gelu", [](const at::Tensor& x) { return x * at::sigmoid(x * 1.702); }},
  };
  const auto found = table.find(name);
  TORCH_CHECK_VALUE(found != table.end(), "[", noun, "] ", field, " is not supported: got \"", name,
                    "\", expected silu, swish, mish, gelu, relu or quick_gelu");
  return found->second;
}

}  // namespace torch_hpu::diffusion
