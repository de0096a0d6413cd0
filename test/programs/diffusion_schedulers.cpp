// What test/python/test_diffusion_schedulers.py compares with diffusers: diffusion_schedulers RUNS.json. Every run names a scheduler (a class and
// its config, or a folder), a number of steps or timesteps, a device, a way to step, and safetensors files: "prediction" and "noise" [steps, ...] and
// "sample" in, all samples, timesteps and sigmas out.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <torch_hpu/ddim_scheduler.h>
#include <torch_hpu/device.h>
#include <torch_hpu/diffusion_scheduler.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/safetensors.h>

#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;
using Tensors = std::map<std::string, at::Tensor>;
using namespace torch_hpu;

std::shared_ptr<DiffusionScheduler> make(const Json& run) {
  if (run.contains("folder")) {
    return DiffusionScheduler::from_pretrained(run["folder"], run.value("subfolder", ""));
  }
  auto scheduler = DiffusionScheduler::make(run.at("class"), run.at("config").dump());
  return run.contains("switch") ? scheduler->switched(run["switch"]) : scheduler;
}

struct Samples {
  std::vector<at::Tensor> previous, original, scaled;
  void add(const SchedulerStep& step) {
    previous.push_back(step.prev_sample);
    if (step.pred_original_sample.defined()) {
      original.push_back(step.pred_original_sample);
    }
  }
};

// The static step: what a captured graph does.
void advance_all(DiffusionScheduler& scheduler, const Tensors& inputs, at::Tensor sample, Samples& samples) {
  std::vector<at::Tensor> state = scheduler.initial_state(sample);
  for (int64_t i = scheduler.begin_index(); i < scheduler.steps(); ++i) {
    const at::Tensor& row = scheduler.step_table(i);
    samples.scaled.push_back(scheduler.scale_model_input(sample, row));
    std::vector<at::Tensor> next = scheduler.advance(inputs.at("prediction")[i], sample, state, row, inputs.at("noise")[i]);
    sample = next[0];
    state.assign(next.begin() + 1, next.end());
    samples.previous.push_back(sample);
    mark_step();
  }
}

// diffusers' calls, with the noise of a generator.
void step_all(DiffusionScheduler& scheduler, const Tensors& inputs, at::Tensor sample, int64_t seed, Samples& samples) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (int64_t i = scheduler.begin_index(); i < scheduler.steps(); ++i) {
    const double timestep = scheduler.timesteps()[i].item<double>();
    samples.scaled.push_back(scheduler.scale_model_input(sample, timestep));
    samples.add(scheduler.step(inputs.at("prediction")[i], timestep, sample, generator));
    sample = samples.previous.back();
  }
}

void roll_all(GaudiDDIMScheduler& scheduler, const Json& run, const Tensors& inputs, at::Tensor sample, Samples& samples) {
  const double eta = run.value("eta", 0.0);
  for (int64_t i = 0; i < scheduler.steps(); ++i) {
    const at::Tensor noise = eta > 0 ? inputs.at("noise")[i] : at::Tensor();
    samples.add(scheduler.step(inputs.at("prediction")[i], sample, eta, run.value("use_clipped_model_output", false), std::nullopt, noise));
    sample = samples.previous.back();
  }
}

void run(const Json& run) {
  const c10::Device device = run.at("device") == "hpu" ? kDevice : c10::Device(c10::kCPU);
  const auto scheduler = make(run);
  Tensors inputs;
  for (const auto& [name, tensor] : load_safetensors(run.at("inputs"))) {
    inputs[name] = tensor.to(device);
  }
  run.contains("timesteps") ? scheduler->set_timesteps(run["timesteps"].get<std::vector<double>>(), device)
                            : scheduler->set_timesteps(run.at("steps").get<int64_t>(), device);
  if (run.contains("begin")) {
    scheduler->set_begin_index(run["begin"]);
  }
  scheduler->set_eta(run.value("eta", 0.0));
  const auto ddim = std::dynamic_pointer_cast<GaudiDDIMScheduler>(scheduler);
  if (ddim) {
    ddim->set_use_clipped_model_output(run.value("use_clipped_model_output", false));
  }
  Samples samples;
  const std::string how = run.at("how");
  if (how == "advance") {
    advance_all(*scheduler, inputs, inputs.at("sample"), samples);
  } else if (how == "step") {
    step_all(*scheduler, inputs, inputs.at("sample"), run.at("seed"), samples);
  } else if (how == "roll") {
    TORCH_CHECK(ddim, "only GaudiDDIMScheduler has tables that roll");
    roll_all(*ddim, run, inputs, inputs.at("sample"), samples);
  }
  Tensors outputs = {{"timesteps", scheduler->timesteps()}};
  if (!samples.previous.empty()) {
    outputs["samples"] = at::stack(samples.previous);
  }
  outputs["sigmas"] = at::tensor(scheduler->sigmas(), at::kFloat);
  outputs["init_noise_sigma"] = at::tensor(std::vector<double>{scheduler->init_noise_sigma()}, at::kDouble);
  outputs["noised"] = scheduler->add_noise(inputs.at("sample"), inputs.at("noise")[0], scheduler->begin_index());
  if (!samples.original.empty()) {
    outputs["original"] = at::stack(samples.original);
  }
  if (!samples.scaled.empty()) {
    outputs["scaled"] = at::stack(samples.scaled);
  }
  if (inputs.count("training_timesteps")) {
    const at::Tensor& timesteps = inputs.at("training_timesteps");
    outputs["training_noised"] = scheduler->add_training_noise(inputs.at("sample"), inputs.at("noise")[0], timesteps);
    outputs["velocity"] = scheduler->velocity(inputs.at("sample"), inputs.at("noise")[0], timesteps);
  }
  if (run.contains("save")) {
    scheduler->save_pretrained(run["save"]);
  }
  save_safetensors(run.at("outputs"), outputs);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: diffusion_schedulers RUNS.json\n";
    return 2;
  }
  Json current;
  try {
    for (const Json& each : Json::parse(std::ifstream(argv[1]))) {
      current = each;
      run(each);
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << current.dump() << '\n' << error.what() << '\n';
    return 1;
  }
}
