// The device against LibTorch's eager CPU backend in one process: the same work, interleaved; minima of each are compared. A ratio above 1 means
// that the device is faster.
#include <torch/nn.h>
#include <torch_hpu/device.h>
#include <torch_hpu/hpu_graph.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/metrics.h>

#include <chrono>
#include <cstdio>
#include <functional>

namespace {

using torch::Tensor;
using torch_hpu::kDevice;

double seconds(const std::function<void()>& f, int calls) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) {
    f();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
}

// Takes turns; prints the least time of each.
void compare(const char* name, const std::function<void()>& eager, const std::function<void()>& device, int calls, int rounds = 15) {
  eager();
  device();
  device();
  double a = 1e30, b = 1e30;
  for (int i = 0; i < rounds; ++i) {
    a = std::min(a, seconds(eager, calls));
    b = std::min(b, seconds(device, calls));
  }
  std::printf("%-44s eager %10.2f us   hpu %10.2f us   ratio %6.2f\n", name, a * 1e6, b * 1e6, a / b);
}

// The same forward on both sides: eager on the CPU, and replayed from an HPU Graph.
void compare_graph(const char* name, const std::function<Tensor(const Tensor&)>& on_cpu, const std::function<Tensor(const Tensor&)>& on_hpu,
                   const Tensor& x, int calls) {
  const torch::NoGradGuard no_grad;
  const Tensor input = x.to(kDevice);
  torch_hpu::HPUGraph graph;
  Tensor output;
  {
    const torch_hpu::HPUGraphCapture capture(graph);
    output = on_hpu(input);
  }
  graph.replay();
  const double difference = (output.cpu() - on_cpu(x)).abs().max().item<double>();
  compare(
      name, [&] { on_cpu(x); },
      [&] {
        graph.replay();
        torch_hpu::synchronize();
      },
      calls);
  const auto s = graph.statistics();
  std::printf("    %ld kernels, %ld library calls, %ld extern calls; arena %ld KiB; largest difference %.1e\n", s.at("kernels"),
              s.at("library_calls"), s.at("extern_calls"), s.at("arena") / 1024, difference);
  std::fflush(stdout);
}

// A module on the CPU and its copy on the device.
template <typename Holder>
void compare_module(const char* name, Holder module, const Tensor& x, int calls) {
  module->eval();
  auto copy = std::dynamic_pointer_cast<typename Holder::ContainedType>(module->clone(kDevice));
  compare_graph(name, [&](const Tensor& t) { return module->forward(t); }, [&](const Tensor& t) { return copy->forward(t); }, x, calls);
}

struct ResidualNormImpl : torch::nn::Cloneable<ResidualNormImpl> {
  torch::nn::LayerNorm norm{nullptr};
  ResidualNormImpl() {
    reset();
  }
  void reset() override {
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({1024})));
  }
  Tensor forward(const Tensor& x) {
    return norm(x + torch::relu(x));
  }
};
TORCH_MODULE(ResidualNorm);

// A layer of BERT: self-attention and a feed-forward net, each with residual and layer norm. [B, L, 256]
struct EncoderImpl : torch::nn::Cloneable<EncoderImpl> {
  static constexpr int64_t kWidth = 256, kHeads = 4;
  torch::nn::Linear qkv{nullptr}, out{nullptr}, up{nullptr}, down{nullptr};
  torch::nn::LayerNorm norm1{nullptr}, norm2{nullptr};
  EncoderImpl() {
    reset();
  }
  void reset() override {
    qkv = register_module("qkv", torch::nn::Linear(kWidth, 3 * kWidth));
    out = register_module("out", torch::nn::Linear(kWidth, kWidth));
    up = register_module("up", torch::nn::Linear(kWidth, 4 * kWidth));
    down = register_module("down", torch::nn::Linear(4 * kWidth, kWidth));
    norm1 = register_module("norm1", torch::nn::LayerNorm(torch::nn::LayerNormOptions({kWidth})));
    norm2 = register_module("norm2", torch::nn::LayerNorm(torch::nn::LayerNormOptions({kWidth})));
  }
  Tensor forward(const Tensor& x) {
    const auto heads = qkv(x).view({x.size(0), x.size(1), 3, kHeads, kWidth / kHeads}).permute({2, 0, 3, 1, 4});
    const auto scores = torch::matmul(heads[0], heads[1].transpose(-1, -2)) / 8.0;
    const auto mixed = torch::matmul(torch::softmax(scores, -1), heads[2]).transpose(1, 2).reshape(x.sizes());
    const auto y = norm1(x + out(mixed));
    return norm2(y + down(torch::gelu(up(y))));
  }
};
TORCH_MODULE(Encoder);

void recording() {
  const torch::NoGradGuard no_grad;
  auto x = torch::ones({4}, kDevice);
  torch_hpu::synchronize();
  double best = 1e30;
  for (int round = 0; round < 30; ++round) {
    Tensor y = x;
    best = std::min(best, seconds([&] { y = y + x; }, 1000));
    torch_hpu::synchronize();
  }
  const auto a = torch::ones({4}), b = torch::ones({4});
  double eager = 1e30;
  for (int round = 0; round < 30; ++round) {
    Tensor y = a;
    eager = std::min(eager, seconds([&] { y = y + b; }, 1000));
  }
  std::printf("%-44s %.3f us per op (LibTorch eager add of 4 floats: %.3f us)\n", "recording an add", best * 1e6, eager * 1e6);
}

Tensor chain(const Tensor& x, const Tensor& w, const Tensor& b) {  // 24 pointwise ops
  Tensor y = x * w + b, t = torch::tanh(y), e = torch::exp(torch::neg(torch::abs(y))), s = torch::sigmoid(y);
  Tensor z = torch::where(y > 0, t, e) * s + x;
  z = z * torch::rsqrt(z * z + 1.0);
  z = torch::clamp(z, -0.9, 0.9) + torch::log1p(e);
  z = z - torch::sin(z);
  z = torch::relu(torch::maximum(z, w) * 0.5);
  return z + b;
}

}  // namespace

int main() {
  torch_hpu::set_option("tier", "compiled");
  torch::manual_seed(0);
  recording();

  torch::nn::Sequential mlp;
  for (int i = 0; i < 6; ++i) {
    mlp->push_back(torch::nn::Linear(64, 64));
    mlp->push_back(torch::nn::ReLU());
  }
  compare_module("replay: 6 x linear 64 + relu, batch 1", mlp, torch::randn({1, 64}), 1000);

  const Tensor w = torch::randn({2048}), b = torch::randn({2048, 1});
  const Tensor w_hpu = w.to(kDevice), b_hpu = b.to(kDevice);
  compare_graph(
      "24 pointwise ops on 4M floats", [&](const Tensor& x) { return chain(x, w, b); },
      [&](const Tensor& x) { return chain(x, w_hpu, b_hpu); }, torch::randn({2048, 2048}), 1);

  const auto softmax = [](const Tensor& x) { return torch::softmax(x, 1); };
  compare_graph("softmax rows 4096 x 1024", softmax, softmax, torch::randn({4096, 1024}), 2);
  compare_module("residual + layer norm rows 4096 x 1024", ResidualNorm(), torch::randn({4096, 1024}), 2);

  torch::nn::Sequential conv(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 64, 3).padding(1)), torch::nn::BatchNorm2d(64),
                             torch::nn::ReLU(), torch::nn::Conv2d(torch::nn::Conv2dOptions(64, 64, 3).padding(1)),
                             torch::nn::BatchNorm2d(64), torch::nn::ReLU(), torch::nn::MaxPool2d(2),
                             torch::nn::Conv2d(torch::nn::Conv2dOptions(64, 128, 3).padding(1)), torch::nn::ReLU());
  compare_module("conv net 3-64-64-128, 2 x 3 x 64 x 64", conv, torch::randn({2, 3, 64, 64}), 3);
  compare_module("BERT layer, width 256, 4 heads, 4 x 128", Encoder(), torch::randn({4, 128, 256}), 3);
  return 0;
}
