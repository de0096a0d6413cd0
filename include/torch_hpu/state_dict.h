// Parameters and buffers of a module by their Python state_dict names.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <string>

#include "torch_hpu/export.h"

namespace torch_hpu {

// The module's own tensors. A tensor that is registered under several names (tied weights) stands under each.
TORCH_HPU_API std::map<std::string, at::Tensor> state_dict(const torch::nn::Module& module);

// Copies values into the module's tensors, whatever their device and floating dtype. Throws with the names of all tensors that are missing, surplus
// (unless strict is false) or of another shape, before anything is written.
TORCH_HPU_API void load_state_dict(torch::nn::Module& module, const std::map<std::string, at::Tensor>& state, bool strict = true);

}  // namespace torch_hpu
