// What test/python/test_diffusion_models.py compares with Python: diffusion_models TASKS.json. Every task names a model's kind and folder, a
// device, and safetensors files with the inputs and for the outputs; the gradients of sum(output * weight) are among the outputs if wanted.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <torch_hpu/autoencoder_kl.h>
#include <torch_hpu/clip_text_model.h>
#include <torch_hpu/device.h>
#include <torch_hpu/safetensors.h>
#include <torch_hpu/unet_2d_condition.h>

#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;
using Tensors = std::map<std::string, at::Tensor>;
using namespace torch_hpu;

at::ScalarType dtype_of(const Json& task) {
  static const std::map<std::string, at::ScalarType> types = {{"float32", at::kFloat}, {"bfloat16", at::kBFloat16}, {"float16", at::kHalf}};
  return types.at(task.value("dtype", "float32"));
}

at::Tensor input(const Tensors& inputs, const std::string& name) {
  const auto found = inputs.find(name);
  return found == inputs.end() ? at::Tensor() : found->second;
}

template <typename Model>
std::shared_ptr<Model> load(const Json& task, c10::Device device) {
  auto model = Model::from_pretrained(task.at("folder"), task.value("subfolder", ""), dtype_of(task), task.value("variant", ""));
  if (task.contains("save")) {
    model->save_pretrained(task["save"]);
  }
  model->to(device);
  return model;
}

// Gradients of all parameters, by name.
void add_gradients(const torch::nn::Module& model, const at::Tensor& output, const Tensors& inputs, Tensors& outputs) {
  (output * inputs.at("weight")).sum().backward();
  for (const auto& parameter : model.named_parameters()) {
    if (parameter.value().grad().defined()) {
      outputs["gradient." + parameter.key()] = parameter.value().grad();
    }
  }
}

Tensors run_clip(const Json& task, const Tensors& inputs, c10::Device device) {
  const auto model = load<CLIPTextModel>(task, device);
  const auto output = model->forward(inputs.at("input_ids"), input(inputs, "attention_mask"), /*output_hidden_states=*/true);
  Tensors outputs = {{"last_hidden_state", output.last_hidden_state}, {"pooler_output", output.pooler_output}};
  if (output.text_embeds.defined()) {
    outputs["text_embeds"] = output.text_embeds;
  }
  for (size_t i = 0; i < output.hidden_states.size(); ++i) {
    outputs["hidden_states." + std::to_string(i)] = output.hidden_states[i];
  }
  outputs["penultimate"] = model->embed(inputs.at("input_ids"), 1, input(inputs, "attention_mask"));
  if (inputs.count("weight")) {
    add_gradients(*model, output.last_hidden_state, inputs, outputs);
  }
  return outputs;
}

Tensors run_unet(const Json& task, const Tensors& inputs, c10::Device device) {
  const auto model = load<UNet2DConditionModel>(task, device);
  const UNet2DConditionInputs more{input(inputs, "class_labels"), input(inputs, "timestep_cond"), input(inputs, "encoder_attention_mask")};
  const at::Tensor& sample = inputs.at("sample");
  const at::Tensor& states = inputs.at("encoder_hidden_states");
  const at::Tensor output = task.contains("timestep") ? model->forward(sample, task["timestep"].get<double>(), states, more)
                                                      : model->forward(sample, inputs.at("timestep"), states, more);
  Tensors outputs = {{"output", output}};
  if (inputs.count("weight")) {
    add_gradients(*model, output, inputs, outputs);
  }
  return outputs;
}

Tensors run_autoencoder(const Json& task, const Tensors& inputs, c10::Device device) {
  const auto model = load<AutoencoderKL>(task, device);
  model->enable_tiling(task.value("tiling", false));
  model->enable_slicing(task.value("slicing", false));
  const auto latents = model->encode(inputs.at("images"));
  Tensors outputs = {{"mean", latents.mean()}, {"logvar", latents.logvar()}, {"std", latents.std()}, {"kl", latents.kl()}};
  outputs["sample"] = latents.sample(at::make_generator<at::CPUGeneratorImpl>(task.value("seed", 0)));
  outputs["decoded"] = model->decode(inputs.at("latents"));
  outputs["unscaled"] = model->unscale(model->scale(inputs.at("latents")));
  if (inputs.count("weight")) {
    add_gradients(*model, model->forward(inputs.at("images")), inputs, outputs);
  }
  return outputs;
}

void run(const Json& task) {
  const c10::Device device = task.at("device") == "hpu" ? kDevice : c10::Device(c10::kCPU);
  Tensors inputs;
  for (const auto& [name, tensor] : load_safetensors(task.at("inputs"))) {
    const bool converts = tensor.is_floating_point() && name != "timestep";
    inputs[name] = (converts ? tensor.to(dtype_of(task)) : tensor).to(device);
  }
  const at::AutoGradMode gradients(inputs.count("weight") > 0);
  const std::string kind = task.at("kind");
  Tensors outputs = kind == "clip"   ? run_clip(task, inputs, device)
                    : kind == "unet" ? run_unet(task, inputs, device)
                                     : run_autoencoder(task, inputs, device);
  for (auto& [name, tensor] : outputs) {
    tensor = tensor.detach().cpu().to(at::kFloat);
  }
  save_safetensors(task.at("outputs"), outputs);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: diffusion_models TASKS.json\n";
    return 2;
  }
  try {
    for (const Json& task : Json::parse(std::ifstream(argv[1]))) {
      run(task);
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
