// Folders of one model: config.json and safetensors files.
#pragma once

#include <c10/core/ScalarType.h>
#include <torch/nn/module.h>

#include <functional>
#include <string>
#include <vector>

namespace torch_hpu::diffusion {

struct PretrainedFolder {
  std::string noun;  // the model's name in errors
  std::string path;
  std::string stem;     // of the files: "diffusion_pytorch_model" or "model"
  std::string variant;  // between the stem and ".safetensors"; empty: none, or the only one that there is
};

std::string join_path(const std::string& folder, const std::string& subfolder);

// The text of config.json. Throws when the folder or the file is not there.
std::string read_config(const PretrainedFolder& folder);

// Gives the parameters of a module made under StandInParameters their values, converted to dtype, one after the other, so that each value
// is in memory once. rename: the name in the module of a tensor of the file; empty: it is not needed. Returns the names of the tensors that
// the module does not have, after a warning. Throws with the names of missing, mis-shaped and non-floating tensors; then nothing is changed.
std::vector<std::string> load_weights(torch::nn::Module& module, const PretrainedFolder& folder, c10::ScalarType dtype,
                                      const std::function<std::string(const std::string&)>& rename);

// rename: the name in the file of a parameter.
void save_weights(const torch::nn::Module& module, const PretrainedFolder& folder, const std::string& config,
                  const std::function<std::string(const std::string&)>& rename);

}  // namespace torch_hpu::diffusion
