// Random ops by Philox on the host: the reference of generated code, see Note [Random numbers].
#pragma once

#include <ATen/core/Tensor.h>

#include <string_view>

#include "csrc/ir/graph.h"

namespace torch_hpu::kernels {

struct RandomStream {
  uint64_t seed, offset;
};

// Runs the random op `name` ("aten::uniform", "aten::native_dropout" ...) on CPU tensors: writes its returns into `out`. `scalars`: the values
// of the node's numeric arguments, in order. False when the op is not known here.
bool run_random(std::string_view name, const RandomStream& stream, const std::vector<at::Tensor>& inputs,
                const std::vector<ir::ScalarValue>& scalars, const std::vector<at::Tensor>& out);

} // namespace torch_hpu::kernels
