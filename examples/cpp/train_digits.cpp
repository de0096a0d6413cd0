// A small convolutional net learns 1,433 handwritten digits on the device, lazily, and reads 364 others by HPU Graph replay; then the
// same on LibTorch's own CPU backend, for comparison.
#include <torch/optim.h>
#include <torch_hpu/device.h>
#include <torch_hpu/graphed.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/metrics.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "digits.h"

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Settings {
  std::string data = "examples/data/digits.safetensors", output;
  int epochs = 12, batch = 64;
  double lr = 2e-3;
  std::vector<std::string> devices{"hpu", "cpu"};
};

struct Result {
  double accuracy = 0;           // percent
  double warmup_seconds = 0;     // the first steps: compilation, caches
  double images_per_second = 0;  // after them
  double last_loss = 0;
  std::map<std::string, uint64_t> steady;  // counters over the steady steps
};

constexpr int kWarmupSteps = 3;

// A bar that redraws its line; nothing without a terminal.
void draw_progress(int step, int steps, double loss) {
  if (!isatty(fileno(stderr))) {
    return;
  }
  constexpr int kWidth = 30;
  const int done = step * kWidth / steps;
  std::fprintf(stderr, "\r[%s%s] %d/%d loss %.4f", std::string(done, '#').c_str(), std::string(kWidth - done, '.').c_str(), step, steps,
               loss);
  if (step == steps) {
    std::fprintf(stderr, "\n");
  }
}

Result train(const Settings& s, const Digits& digits, torch::Device device, const std::map<std::string, torch::Tensor>& initial) {
  const bool lazy = device.type() == torch_hpu::kDeviceType;
  DigitsNet net;
  load_state_dict(*net, initial);
  net->to(device);
  torch::optim::AdamW optimizer(net->parameters(), torch::optim::AdamWOptions(s.lr));
  const auto images = digits.train_images.to(device), labels = digits.train_labels.to(device);
  const int64_t n = images.size(0) / s.batch * s.batch;
  const int steps = static_cast<int>(s.epochs * (n / s.batch));

  Result result;
  torch::manual_seed(1);
  auto before = torch_hpu::metrics_snapshot();
  double start = now();
  int step = 0;
  torch::Tensor loss;
  for (int epoch = 0; epoch < s.epochs; ++epoch) {
    const auto order = torch::randperm(images.size(0), torch::kLong);
    for (int64_t i = 0; i < n; i += s.batch) {
      const auto batch = order.slice(0, i, i + s.batch).to(device);
      optimizer.zero_grad();
      loss = torch::nll_loss(torch::log_softmax(net->forward(images.index_select(0, batch)), 1), labels.index_select(0, batch));
      loss.backward();
      optimizer.step();
      if (lazy) {
        torch_hpu::mark_step();
      }
      if (++step == kWarmupSteps) {
        result.last_loss = loss.item<double>();
        result.warmup_seconds = now() - start;
        before = torch_hpu::metrics_snapshot();
        start = now();
      }
      if (step % 22 == 0 || step == steps) {
        result.last_loss = loss.item<double>();
        draw_progress(step, steps, result.last_loss);
      }
    }
  }
  if (lazy) {
    torch_hpu::synchronize();
  }
  result.images_per_second = (step - kWarmupSteps) * static_cast<double>(s.batch) / (now() - start);
  for (const auto& [name, value] : torch_hpu::metrics_snapshot()) {
    result.steady[name] = value - before[name];
  }

  // Evaluation: on the device by HPU Graph, the ragged last batch padded so that one graph serves all.
  net->eval();
  const torch::NoGradGuard no_grad;
  auto graphed = torch_hpu::wrap_in_hpu_graph(net);
  const int64_t total = digits.test_images.size(0);
  int64_t correct = 0;
  for (int64_t i = 0; i < total; i += s.batch) {
    auto batch = digits.test_images.slice(0, i, std::min(total, i + s.batch));
    const int64_t size = batch.size(0);
    if (size < s.batch) {
      batch = torch::cat({batch, torch::zeros({s.batch - size, 1, 8, 8})});
    }
    const auto scores = lazy ? graphed(batch.to(device)) : net->forward(batch);
    const auto read = scores.argmax(1).to(torch::kCPU).slice(0, 0, size);
    correct += read.eq(digits.test_labels.slice(0, i, i + size)).sum().item<int64_t>();
  }
  result.accuracy = 100.0 * static_cast<double>(correct) / static_cast<double>(total);
  if (lazy && !s.output.empty()) {
    torch_hpu::save_safetensors(s.output, state_dict(*net));
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app("Trains a digits net on the hpu device and on the CPU.");
  app.add_option("--data", s.data, "digits file, from tools/make_digits.py")->capture_default_str();
  app.add_option("--output", s.output, "where to write the weights (safetensors)");
  app.add_option("--epochs", s.epochs)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--batch-size", s.batch)->check(CLI::Range(1, 1433))->capture_default_str();
  app.add_option("--lr", s.lr, "learning rate")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--device", s.devices, "hpu, cpu, or both")->check(CLI::IsMember({"hpu", "cpu"}));
  CLI11_PARSE(app, argc, argv);
  try {
    if (std::getenv("TORCH_HPU_TIER") == nullptr) {
      torch_hpu::set_option("tier", "compiled");  // compile in the first step, so that warm-up and steady state can be told apart
    }
    const Digits digits = load_digits(s.data);
    torch::manual_seed(0);
    const auto initial = state_dict(*DigitsNet());
    std::map<std::string, torch::Tensor> weights;
    for (const auto& [name, tensor] : initial) {
      weights[name] = tensor.detach().clone();
    }
    double accuracy = 100;
    std::map<std::string, Result> results;
    for (const std::string& name : s.devices) {
      const Result r = train(s, digits, name == "hpu" ? torch_hpu::kDevice : torch::Device(torch::kCPU), weights);
      std::printf("%s: test accuracy %.2f %%, final loss %.4f, first %d steps (compile and warm-up) %.2f s, then %.0f images/s\n",
                  name.c_str(), r.accuracy, r.last_loss, kWarmupSteps, r.warmup_seconds, r.images_per_second);
      if (name == "hpu") {
        std::printf(
            "hpu, steady steps: compilations %lu, recipe hits %lu, kernels %lu, library calls %lu, extern calls %lu, breaking calls %lu\n",
            r.steady.at("compilations"), r.steady.at("recipe_hits"), r.steady.at("kernels"), r.steady.at("library_calls"),
            r.steady.at("extern_calls"), r.steady.at("breaking_calls"));
      }
      accuracy = std::min(accuracy, r.accuracy);
      results[name] = r;
    }
    if (results.size() == 2) {
      std::printf("hpu / cpu throughput: %.2f\n", results["hpu"].images_per_second / results["cpu"].images_per_second);
    }
    if (!s.output.empty()) {
      std::printf("weights: %s\n", s.output.c_str());
    }
    if (accuracy <= 97) {
      std::fprintf(stderr, "the accuracy is not above 97 %%\n");
      return 1;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_digits: %s\n", error.what());
    return 1;
  }
  return 0;
}
