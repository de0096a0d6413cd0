// A program linked with torch_hpu: trains a small net on the device and beside it on the CPU, captures and replays a graph, and
// writes the weights. Exits with 1 and a line per difference.
#include <ATen/ops/add.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch_hpu/device.h>
#include <torch_hpu/hpu_graph.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/safetensors.h>

#include <fstream>
#include <iostream>
#include <set>

namespace {

int failures = 0;

void check(bool good, const std::string& what) {
  std::cout << (good ? "ok    " : "FAILED ") << what << '\n';
  failures += good ? 0 : 1;
}

void train(torch::nn::Sequential& net, const at::Tensor& input, const at::Tensor& target) {
  for (int step = 0; step < 20; ++step) {
    net->zero_grad();
    at::mse_loss(net->forward(input), target).backward();
    c10::NoGradGuard no_grad;
    for (auto& parameter : net->parameters()) {
      parameter.sub_(parameter.grad(), 0.1);
    }
    torch_hpu::mark_step();
  }
}

void training_equals_cpu() {
  torch::nn::Sequential on_cpu(torch::nn::Linear(4, 8), torch::nn::Tanh(), torch::nn::Linear(8, 1));
  torch::nn::Sequential on_hpu(std::dynamic_pointer_cast<torch::nn::SequentialImpl>(on_cpu->clone()));
  on_hpu->to(torch_hpu::kDevice);
  const auto input = at::randn({16, 4}), target = at::randn({16, 1});
  const auto before = torch_hpu::metrics_snapshot();
  train(on_cpu, input, target);
  train(on_hpu, input.to(torch_hpu::kDevice), target.to(torch_hpu::kDevice));
  torch_hpu::synchronize();
  const auto after = torch_hpu::metrics_snapshot();
  check(after.at("recorded_ops") > before.at("recorded_ops"), "the device recorded the training");

  std::map<std::string, at::Tensor> weights;
  for (const auto& parameter : on_hpu->named_parameters()) {
    check(parameter.value().device() == torch_hpu::kDevice, parameter.key() + " is on the device");
    weights[parameter.key()] = parameter.value().detach().cpu();
    check(at::allclose(weights[parameter.key()], on_cpu->named_parameters()[parameter.key()], 1e-4, 1e-5),
          parameter.key() + " equals the CPU's");
  }
  torch_hpu::save_safetensors("weights.safetensors", weights);
  const auto read = torch_hpu::load_safetensors("weights.safetensors");
  check(read.size() == weights.size(), "as many weights read as written");
  for (const auto& [name, value] : weights) {
    check(at::equal(value, read.at(name)), name + " read as written");
  }
}

void replay_reads_new_input() {
  const auto input = at::full({3}, 1.0, at::TensorOptions(torch_hpu::kDevice));
  torch_hpu::HPUGraph graph;
  at::Tensor output;
  {
    torch_hpu::HPUGraphCapture capture(graph);
    output = at::add(at::mul(input, 2), 1);
  }
  for (const double value : {1.0, 5.0}) {
    input.fill_(value);
    graph.replay();
    check(at::equal(output.cpu(), at::full({3}, 2 * value + 1)), "replay with input " + std::to_string(value));
  }
}

// Two OpenMP run times in one process would each start a thread per core.
void one_openmp() {
  std::set<std::string> libraries;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("libgomp") != std::string::npos || line.find("libiomp") != std::string::npos) {
      libraries.insert(line.substr(line.find('/')));
    }
  }
  check(libraries.size() == 1, "one OpenMP run time in the process, got " + std::to_string(libraries.size()));
}

}  // namespace

int main() {
  check(torch_hpu::is_available() && torch_hpu::device_count() >= 1, "a device is available");
  training_equals_cpu();
  replay_reads_new_input();
  one_openmp();
  return failures == 0 ? 0 : 1;
}
