// Rules of convolutions.
#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

void convolution(InferContext& c) {  // (input, weight, bias?, stride, padding, dilation, transposed, output_padding, groups)
  const Window &x = c.window(0), &w = c.window(1);
  TORCH_CHECK(x.sizes.size() >= 3 && x.sizes.size() == w.sizes.size(), "[", c.op.name, "] got input ", c10::IntArrayRef(x.sizes),
              " and weight ", c10::IntArrayRef(w.sizes), ", expected as many dims in both, at least 3");
  check_same_dtype(c, 0, 1);
  const size_t n = x.sizes.size() - 2;
  const auto stride = expand(c.value(3), n), padding = expand(c.value(4), n), dilation = expand(c.value(5), n);
  const auto output_padding = expand(c.value(7), n);
  const bool transposed = c.value(6).toBool();
  const int64_t groups = c.value(8).toInt();
  const int64_t in_channels = transposed ? w.sizes[0] : w.sizes[1] * groups;
  TORCH_CHECK(x.sizes[1] == in_channels, "[", c.op.name, "] got input ", c10::IntArrayRef(x.sizes), " with ", x.sizes[1],
              " channels, expected ", in_channels, " for weight ", c10::IntArrayRef(w.sizes), " and groups=", groups);
  DimVector out{x.sizes[0], transposed ? w.sizes[1] * groups : w.sizes[0]};
  for (size_t d = 0; d < n; ++d) {
    const int64_t in = x.sizes[d + 2], kernel = dilation[d] * (w.sizes[d + 2] - 1) + 1;
    const int64_t size =
        transposed ? (in - 1) * stride[d] - 2 * padding[d] + kernel + output_padding[d] : (in + 2 * padding[d] - kernel) / stride[d] + 1;
    TORCH_CHECK(transposed || in + 2 * padding[d] >= kernel, "[", c.op.name, "] kernel size can't be greater than the input: got input ",
                c10::IntArrayRef(x.sizes), ", weight ", c10::IntArrayRef(w.sizes), ", padding ", padding[d]);
    out.push_back(size);
  }
  c.returns.push_back(image(x.dtype, out, is_channels_last(x) || is_channels_last(w)));
}

void convolution_backward(InferContext& c) {
  const Window &x = c.window(1), &w = c.window(2);
  const auto mask = c.value(10).toBoolList();
  const bool channels_last = is_channels_last(x) || is_channels_last(w);
  c.returns.push_back(mask[0] ? image(x.dtype, x.sizes, channels_last) : undefined());
  c.returns.push_back(mask[1] ? image(w.dtype, w.sizes, channels_last) : undefined());
  const int64_t channels = c.window(0).sizes[1];
  c.returns.push_back(mask[2] ? contiguous(w.dtype, {channels}) : undefined());
}

}  // namespace torch_hpu::ir::rules
