// What ATen asks a backend for as one fused kernel: cells of recurrent networks, rrelu, a sum of products. Written in plain ops they are recorded
// like everything else, and fusing them is the compiler's work.
#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "csrc/aten/kernels.h"

namespace torch_hpu::aten {
namespace {

// x + bias in n parts along the gates. Summed part by part, gates are values inside the cell's one kernel; summed as a whole they would be a
// matrix in memory that the cell reads in slices.
std::vector<at::Tensor> parts(int64_t n, const at::Tensor& x, const std::optional<at::Tensor>& bias) {
  std::vector<at::Tensor> result = x.chunk(n, 1);
  if (bias && bias->defined()) {
    const auto biases = bias->chunk(n);
    for (size_t i = 0; i < result.size(); ++i) {
      result[i] = result[i] + biases[i];
    }
  }
  return result;
}

at::Tensor defined_or_zeros(const std::optional<at::Tensor>& x, const at::Tensor& like) {
  return x && x->defined() ? *x : at::zeros_like(like);
}

}  // namespace

// beta * self + alpha * the sum over b of batch1[b, n, k] @ batch2[b, k, p]: one product whose inner dim runs over b and k.
at::Tensor addbmm(const at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2, const at::Scalar& beta,
                  const at::Scalar& alpha) {
  TORCH_CHECK(batch1.dim() == 3 && batch2.dim() == 3 && batch1.size(0) == batch2.size(0) && batch1.size(2) == batch2.size(1),
              "[aten::addbmm] got batches of shape ", batch1.sizes(), " and ", batch2.sizes(), ", expected [b, n, k] and [b, k, p]");
  return at::addmm(self, batch1.transpose(0, 1).flatten(1), batch2.flatten(0, 1), beta, alpha);
}

at::Tensor& addbmm_(at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2, const at::Scalar& beta, const at::Scalar& alpha) {
  return self.copy_(aten::addbmm(self, batch1, batch2, beta, alpha));
}

// gates [N, 4H] = input, forget, cell, output. Workspace: the activated gates, as the backward needs them.
std::tuple<at::Tensor, at::Tensor, at::Tensor> fused_lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates,
                                                               const at::Tensor& cx, const std::optional<at::Tensor>& input_bias,
                                                               const std::optional<at::Tensor>& hidden_bias) {
  const auto in = parts(4, input_gates, input_bias), hidden = parts(4, hidden_gates, hidden_bias);
  const at::Tensor i = at::sigmoid(in[0] + hidden[0]), f = at::sigmoid(in[1] + hidden[1]), g = at::tanh(in[2] + hidden[2]),
                   o = at::sigmoid(in[3] + hidden[3]);
  const at::Tensor cy = f * cx + i * g;
  const at::Tensor hy = o * at::tanh(cy);
  return {hy, cy, at::cat({i, f, g, o}, 1)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> fused_lstm_cell_backward_impl(const std::optional<at::Tensor>& grad_hy,
                                                                             const std::optional<at::Tensor>& grad_cy, const at::Tensor& cx,
                                                                             const at::Tensor& cy, const at::Tensor& workspace,
                                                                             bool has_bias) {
  const auto chunks = workspace.chunk(4, 1);
  const at::Tensor &i = chunks[0], &f = chunks[1], &g = chunks[2], &o = chunks[3];
  const at::Tensor gh = defined_or_zeros(grad_hy, cy), gc = defined_or_zeros(grad_cy, cy);
  const at::Tensor tanh_cy = at::tanh(cy);
  const at::Tensor grad_c = gc + gh * o * (1 - tanh_cy * tanh_cy);
  const at::Tensor grad_gates =
      at::cat({grad_c * g * i * (1 - i), grad_c * cx * f * (1 - f), grad_c * i * (1 - g * g), gh * tanh_cy * o * (1 - o)}, 1);
  return {grad_gates, grad_c * f, has_bias ? grad_gates.sum(0, /*keepdim=*/false) : at::Tensor()};
}

// gates [N, 3H] = reset, update, new. Workspace [N, 5H]: r, z, n, hx, hidden part of the new gate with its bias.
std::tuple<at::Tensor, at::Tensor> fused_gru_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& hx,
                                                  const std::optional<at::Tensor>& input_bias,
                                                  const std::optional<at::Tensor>& hidden_bias) {
  const auto in = parts(3, input_gates, input_bias), hidden = parts(3, hidden_gates, hidden_bias);
  const at::Tensor r = at::sigmoid(in[0] + hidden[0]), z = at::sigmoid(in[1] + hidden[1]);
  const at::Tensor n = at::tanh(in[2] + r * hidden[2]);
  return {n + z * (hx - n), at::cat({r, z, n, hx, hidden[2]}, 1)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> fused_gru_cell_backward(const at::Tensor& grad_hy,
                                                                                               const at::Tensor& workspace, bool has_bias) {
  const auto w = workspace.chunk(5, 1);
  const at::Tensor &r = w[0], &z = w[1], &n = w[2], &hx = w[3], &hidden_new = w[4];
  const at::Tensor grad_n = grad_hy * (1 - z) * (1 - n * n);
  const at::Tensor grad_z = grad_hy * (hx - n) * z * (1 - z);
  const at::Tensor grad_r = grad_n * hidden_new * r * (1 - r);
  const at::Tensor grad_input = at::cat({grad_r, grad_z, grad_n}, 1), grad_hidden = at::cat({grad_r, grad_z, grad_n * r}, 1);
  return {grad_input, grad_hidden, grad_hy * z, has_bias ? grad_input.sum(0, false) : at::Tensor(),
          has_bias ? grad_hidden.sum(0, false) : at::Tensor()};
}

// In training every negative element gets a slope of its own, which `noise` keeps for the backward (1 for the others).
at::Tensor rrelu_with_noise(const at::Tensor& self, at::Tensor& noise, const at::Scalar& lower, const at::Scalar& upper, bool training,
                            std::optional<at::Generator> generator) {
  if (!training) {
    return at::leaky_relu(self.contiguous(), (lower.toDouble() + upper.toDouble()) / 2);
  }
  const at::Tensor slopes = at::empty_like(self).uniform_(lower.toDouble(), upper.toDouble(), std::move(generator));
  noise.copy_(at::where(self <= 0, slopes, 1));
  return self * noise;
}

at::Tensor& rrelu_with_noise_(at::Tensor& self, at::Tensor& noise, const at::Scalar& lower, const at::Scalar& upper, bool training,
                              std::optional<at::Generator> generator) {
  return self.copy_(aten::rrelu_with_noise(self, noise, lower, upper, training, std::move(generator)));
}

}  // namespace torch_hpu::aten
