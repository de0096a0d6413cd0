// Softmax and log-softmax, forward and backward: one loop with dependent reductions, so that a row stays in the cache.
#include "csrc/compiler/reduction.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;

template <bool Log>
bool lower_softmax(LoweringContext& c) {  // (self, dim, half_to_float)
  if (!loopable(c)) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const Split split(in, dims_of(c, 1));
  LoopBuilder b(c, Log ? "log_softmax" : "softmax", split.sizes(in), split.kept.size());
  const E x = b.load(c.node.args[0].index, split.strides(in));
  const E shifted = x - max_of(x);
  const E e = exp(shifted);
  const E total = sum(e);
  b.store(c.node.writes[0], split.strides(c.write(0)), Log ? shifted - log(total) : e / total);
  b.finish();
  return true;
}

template <bool Log>
bool lower_softmax_backward(LoweringContext& c) {  // (grad_output, output, dim, input_dtype)
  if (!loopable(c)) {
    return false;
  }
  const ir::Window &grad = c.window(0), &out = c.window(1);
  const Split split(grad, dims_of(c, 2));
  LoopBuilder b(c, Log ? "log_softmax_backward" : "softmax_backward", split.sizes(grad), split.kept.size());
  const E g = b.load(c.node.args[0].index, split.strides(grad)), y = b.load(c.node.args[1].index, split.strides(out));
  const E result = Log ? g - exp(y) * sum(g) : (g - sum(g * y)) * y;
  b.store(c.node.writes[0], split.strides(c.write(0)), result);
  b.finish();
  return true;
}
}  // namespace

std::vector<LoweringRow> softmax_lowerings() {
  return {
      {"_softmax", &lower_softmax<false>},
      {"_log_softmax", &lower_softmax<true>},
      {"_softmax_backward_data", &lower_softmax_backward<false>},
      {"_log_softmax_backward_data", &lower_softmax_backward<true>},
  };
}

}  // namespace torch_hpu::compiler
