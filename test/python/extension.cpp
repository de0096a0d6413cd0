#include <torch/extension.h>
#include <torch_hpu/device.h>
#include <torch_hpu/hpu_graph.h>
#include <torch_hpu/lazy.h>

namespace {

at::Tensor double_square(const at::Tensor& x) {
  return x * x * 2;
}

at::Tensor double_square_meta(const at::Tensor& x) {
  return at::empty_like(x);
}

// Fits y = 3 x by gradient descent on the device; returns the last loss.
double train_a_little() {
  const auto x = torch::linspace(-1, 1, 32).to(torch_hpu::kDevice);
  auto w = torch::zeros({1}, torch_hpu::kDevice).requires_grad_(true);
  double loss = 0;
  for (int i = 0; i < 60; ++i) {
    const auto error = (w * x - x * 3).square().mean();
    error.backward();
    {
      const torch::NoGradGuard no_grad;
      w.sub_(w.grad(), 0.3);
      w.mutable_grad() = torch::Tensor();
    }
    torch_hpu::mark_step();
    loss = error.item<double>();
  }
  return loss;
}

}  // namespace

TORCH_LIBRARY(hpu_test, m) {
  m.def("double_square(Tensor x) -> Tensor");
}
TORCH_LIBRARY_IMPL(hpu_test, CPU, m) {
  m.impl("double_square", &double_square);
}
TORCH_LIBRARY_IMPL(hpu_test, Meta, m) {
  m.impl("double_square", &double_square_meta);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("train_a_little", &train_a_little, pybind11::call_guard<pybind11::gil_scoped_release>());
}
