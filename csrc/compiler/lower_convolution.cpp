// Convolutions and their backwards.
#include "csrc/compiler/library_calls.h"
#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using kernels::Primitive;

// stride, padding, dilation, transposed, output_padding, groups: arguments from `first` on.
std::vector<int64_t> convolution_ints(const LoweringContext& c, size_t first, size_t n) {
  std::vector<int64_t> ints{static_cast<int64_t>(n)};
  for (size_t i : {first, first + 1, first + 2, first + 4}) {
    const auto list = int_list(c, i, n);
    ints.insert(ints.end(), list.begin(), list.end());
  }
  ints.push_back(c.node.args[first + 3].value.toBool());
  ints.push_back(c.node.args[first + 5].value.toInt());
  return ints;
}

bool lower_convolution(LoweringContext& c) {  // (input, weight, bias?, stride, padding, dilation, transposed, output_padding, groups)
  if (!plain_windows(c) || c.window(0).sizes.size() < 3) {
    return false;
  }
  CallBuilder builder(c, Primitive::kConvolution);
  builder.call.reads = {builder.argument(0), builder.argument(1), builder.argument(2)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype)};
  builder.call.ints = convolution_ints(c, 3, c.window(0).sizes.size() - 2);
  return builder.commit();
}

// The gradient of a bias: grad_output summed over all dims but the channels.
void lower_bias_gradient(LoweringContext& c, size_t write) {
  const ir::Window& g = c.window(0);
  codegen::DimVector sizes{g.sizes[1]}, strides{g.strides[1]}, out{c.write(write).strides[0]};
  for (size_t d = 0; d < g.sizes.size(); ++d) {
    if (d != 1) {
      sizes.push_back(g.sizes[d]);
      strides.push_back(g.strides[d]);
      out.push_back(0);
    }
  }
  LoopBuilder b(c, "bias_gradient", sizes, 1);
  b.store(c.node.writes[write], out, sum(b.load(c.node.args[0].index, strides)));
  b.finish();
}

// (grad_output, input, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups, output_mask)
bool lower_convolution_backward(LoweringContext& c) {
  if (!plain_windows(c) || c.window(1).sizes.size() < 3) {
    return false;
  }
  for (size_t i = 0; i < c.node.writes.size(); ++i) {
    for (size_t a = 0; a < 3; ++a) {
      if (c.node.writes[i] != ir::kNone && c.write(i).buffer == c.window(a).buffer) {
        return false;  // all reads happen before all writes, but these are several items
      }
    }
  }
  const size_t first = c.program.items.size(), buffers = c.program.buffers.size();
  const std::vector<int64_t> ints = convolution_ints(c, 4, c.window(1).sizes.size() - 2);
  for (size_t i = 0; i < 2; ++i) {
    if (c.node.writes[i] == ir::kNone) {
      continue;
    }
    CallBuilder builder(c, i == 0 ? Primitive::kConvolutionBackwardInput : Primitive::kConvolutionBackwardWeight);
    builder.call.reads = {builder.argument(0), builder.argument(i == 0 ? 2 : 1)};
    builder.call.writes = {builder.destination(i, c.window(0).dtype)};
    builder.call.ints = ints;
    if (!builder.commit()) {
      c.program.items.resize(first);
      c.program.buffers.resize(buffers);
      return false;
    }
  }
  if (c.node.writes[2] != ir::kNone) {
    lower_bias_gradient(c, 2);
  }
  return true;
}

}  // namespace

std::vector<LoweringRow> convolution_lowerings() {
  return {
      {"convolution", &lower_convolution},
      {"convolution_backward", &lower_convolution_backward},
  };
}

}  // namespace torch_hpu::compiler
