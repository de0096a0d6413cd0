// Gradient checkpointing: activations of a piece of a model are computed again in the backward pass instead of being kept
// (https://arxiv.org/abs/1604.06174).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace torch_hpu::train {

// function(x) without its activations being kept. It reads `parameters` and nothing else that requires gradients. The backward pass runs it again
// with the random numbers of the forward pass.
at::Tensor checkpoint(std::function<at::Tensor(const at::Tensor&)> function, const at::Tensor& x,
                      const std::vector<at::Tensor>& parameters);

}  // namespace torch_hpu::train
