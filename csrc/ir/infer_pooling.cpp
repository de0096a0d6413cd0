// Rules of pooling.
#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

namespace {

int64_t pooled(int64_t in, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, bool ceil_mode) {
  const int64_t span = in + 2 * pad - dilation * (kernel - 1) - 1;
  int64_t out = (ceil_mode ? (span + stride - 1) / stride : span / stride) + 1;
  if (ceil_mode && (out - 1) * stride >= in + pad) {
    --out;
  }
  return out;
}

DimVector pool_sizes(InferContext& c, const std::vector<int64_t>& dilation, bool ceil_mode) {
  const Window& x = c.window(0);
  TORCH_CHECK(x.sizes.size() == 3 || x.sizes.size() == 4, "[", c.op.name, "] got an input of ", x.sizes.size(), " dims, expected 3 or 4");
  const auto kernel = expand(c.value(1), 2), padding = expand(c.value(3), 2);
  const auto stride = c.value(2).toIntVector().empty() ? kernel : expand(c.value(2), 2);
  DimVector out(x.sizes.begin(), x.sizes.end() - 2);
  for (size_t d = 0; d < 2; ++d) {
    TORCH_CHECK(padding[d] >= 0 && padding[d] * 2 <= kernel[d], "[", c.op.name, "] pad should be at most half of the kernel size, got pad ",
                padding[d], " and kernel ", kernel[d]);
    const int64_t size = pooled(x.sizes[x.sizes.size() - 2 + d], kernel[d], stride[d], padding[d], dilation[d], ceil_mode);
    TORCH_CHECK(size >= 1, "[", c.op.name, "] the output would be empty: input ", c10::IntArrayRef(x.sizes), ", kernel ", kernel);
    out.push_back(size);
  }
  return out;
}

}  // namespace

void max_pool2d(InferContext& c) {  // (self, kernel_size, stride, padding, dilation, ceil_mode)
  const DimVector out = pool_sizes(c, expand(c.value(4), 2), c.value(5).toBool());
  c.returns.push_back(image(c.window(0).dtype, out, is_channels_last(c.window(0))));
  c.returns.push_back(image(c10::ScalarType::Long, out, is_channels_last(c.window(0))));
}

void max_pool2d_backward(InferContext& c) {
  const Window& x = c.window(1);
  c.returns.push_back(image(x.dtype, x.sizes, is_channels_last(x)));
}

void avg_pool2d(InferContext& c) {  // (self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor?)
  const DimVector out = pool_sizes(c, {1, 1}, c.value(4).toBool());
  c.returns.push_back(image(c.window(0).dtype, out, is_channels_last(c.window(0))));
}

void avg_pool2d_backward(InferContext& c) {
  const Window& x = c.window(1);
  c.returns.push_back(image(x.dtype, x.sizes, is_channels_last(x)));
}

void adaptive_avg_pool2d(InferContext& c) {
  const Window& x = c.window(0);
  const auto size = c.value(1).toIntVector();
  DimVector out(x.sizes.begin(), x.sizes.end() - 2);
  out.append(size.begin(), size.end());
  c.returns.push_back(image(x.dtype, out, is_channels_last(x)));
}

}  // namespace torch_hpu::ir::rules
