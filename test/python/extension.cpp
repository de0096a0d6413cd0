#include <torch/extension.h>
#include <torch_hpu/device.h>
#include <torch_hpu/hpu_graph.h>
#include <torch_hpu/lazy.h>

#include <atomic>

namespace {

std::atomic<int> meta_calls{0};

at::Tensor double_square(const at::Tensor& x) {
  return x * x * 2;
}

at::Tensor double_square_meta(const at::Tensor& x) {
  ++meta_calls;
  return at::empty_like(x);
}

// As many copies of x as `times` says: a number that sets a shape.
at::Tensor repeated(const at::Tensor& x, double times) {
  return x.repeat({static_cast<int64_t>(times)});
}

at::Tensor repeated_meta(const at::Tensor& x, double times) {
  ++meta_calls;
  return at::empty({x.numel() * static_cast<int64_t>(times)}, x.options());
}

// Adds to x and returns what it was: writes an argument, returns it, and returns a fresh tensor.
std::tuple<at::Tensor&, at::Tensor> bump(at::Tensor& x) {
  at::Tensor before = x.clone();
  x.add_(1);
  return {x, before};
}

std::tuple<at::Tensor&, at::Tensor> bump_meta(at::Tensor& x) {
  return {x, at::empty_like(x)};
}

// No Meta kernel: what it returns depends on data.
at::Tensor positives(const at::Tensor& x) {
  return x.masked_select(x > 0);
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
  m.def("repeated(Tensor x, float times) -> Tensor");
  m.def("bump(Tensor(a!) x) -> (Tensor(a!), Tensor)");
  m.def("positives(Tensor x) -> Tensor");
}
TORCH_LIBRARY_IMPL(hpu_test, CPU, m) {
  m.impl("double_square", &double_square);
  m.impl("repeated", &repeated);
  m.impl("bump", &bump);
  m.impl("positives", &positives);
}
TORCH_LIBRARY_IMPL(hpu_test, Meta, m) {
  m.impl("double_square", &double_square_meta);
  m.impl("repeated", &repeated_meta);
  m.impl("bump", &bump_meta);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("train_a_little", &train_a_little, pybind11::call_guard<pybind11::gil_scoped_release>());
  m.def("meta_calls", [] { return meta_calls.load(); });
}
