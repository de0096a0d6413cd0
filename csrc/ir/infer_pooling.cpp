// Rules of pooling over n spatial dims.
#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {
namespace {

int64_t pooled(int64_t in, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, bool ceil_mode) {
  const int64_t span = in + 2 * pad - dilation * (kernel - 1) - 1 + (ceil_mode ? stride - 1 : 0);
  if (span < 0) {
    return 0;  // the kernel is larger than the padded input
  }
  int64_t out = span / stride + 1;
  if (ceil_mode && (out - 1) * stride >= in + pad) {
    --out;
  }
  return out;
}

void check_rank(InferContext& c, size_t n) {
  const size_t rank = c.window(0).sizes.size();
  TORCH_CHECK(rank == n + 1 || rank == n + 2, "[", c.op.name, "] got an input of ", rank, " dims, expected ", n + 1, " or ", n + 2);
}

DimVector pool_sizes(InferContext& c, size_t n, const std::vector<int64_t>& dilation,
                     bool ceil_mode) {  // (self, kernel_size, stride, padding, ..)
  check_rank(c, n);
  const Window& x = c.window(0);
  const auto kernel = expand(c.value(1), n), padding = expand(c.value(3), n);
  const auto stride = c.value(2).toIntVector().empty() ? kernel : expand(c.value(2), n);
  const size_t lead = x.sizes.size() - n;
  DimVector out(x.sizes.begin(), x.sizes.begin() + static_cast<int64_t>(lead));
  for (size_t d = 0; d < n; ++d) {
    TORCH_CHECK(kernel[d] > 0 && stride[d] > 0 && dilation[d] > 0, "[", c.op.name,
                "] kernel size, stride and dilation should be greater than zero, got kernel ", kernel, ", stride ", stride, ", dilation ",
                dilation);
    TORCH_CHECK(padding[d] >= 0 && padding[d] * 2 <= kernel[d], "[", c.op.name, "] pad should be at most half of the kernel size, got pad ",
                padding[d], " and kernel ", kernel[d]);
    const int64_t size = pooled(x.sizes[lead + d], kernel[d], stride[d], padding[d], dilation[d], ceil_mode);
    TORCH_CHECK(size >= 1, "[", c.op.name, "] the output would be empty: input ", c10::IntArrayRef(x.sizes), ", kernel ", kernel);
    out.push_back(size);
  }
  return out;
}

DimVector adaptive_sizes(InferContext& c, size_t n) {  // (self, output_size)
  check_rank(c, n);
  const Window& x = c.window(0);
  const std::vector<int64_t> size = expand(c.value(1), n);
  TORCH_CHECK(size.size() == n, "[", c.op.name, "] got an output size of ", size.size(), " dims, expected ", n);
  for (size_t d = 0; d < n; ++d) {
    TORCH_CHECK(size[d] >= 0, "[", c.op.name, "] elements of output_size must be greater than or equal to 0, got ", size);
    TORCH_CHECK(x.sizes[x.sizes.size() - n + d] > 0, "[", c.op.name, "] expected spatial dims of size 1 or more, got input ",
                c10::IntArrayRef(x.sizes));
  }
  DimVector out(x.sizes.begin(), x.sizes.end() - static_cast<int64_t>(n));
  out.append(size.begin(), size.end());
  return out;
}

void push_with_indices(InferContext& c, const DimVector& out) {
  const bool channels_last = is_channels_last(c.window(0));
  c.returns.push_back(image(c.window(0).dtype, out, channels_last));
  c.returns.push_back(image(c10::ScalarType::Long, out, channels_last));
}

}  // namespace

void max_pool(InferContext& c, size_t n) {  // (self, kernel_size, stride, padding, dilation, ceil_mode)
  push_with_indices(c, pool_sizes(c, n, expand(c.value(4), n), c.value(5).toBool()));
}

// ATen's averages over three dims come out contiguous, whatever the input is.
static TensorMeta average(InferContext& c, size_t n, const DimVector& out) {
  return image(c.window(0).dtype, out, n < 3 && is_channels_last(c.window(0)));
}

void avg_pool(InferContext& c, size_t n) {  // (self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor?)
  const DimVector out = pool_sizes(c, n, std::vector<int64_t>(n, 1), c.value(4).toBool());
  TORCH_CHECK(!c.has(6) || c.value(6).toInt() != 0, "[", c.op.name, "] divisor must be not zero");
  c.returns.push_back(average(c, n, out));
}

void adaptive_max_pool(InferContext& c, size_t n) {
  push_with_indices(c, adaptive_sizes(c, n));
}

void adaptive_avg_pool(InferContext& c, size_t n) {
  c.returns.push_back(average(c, n, adaptive_sizes(c, n)));
}

void pool_backward(InferContext& c) {  // (grad_output, self, ...)
  const Window& x = c.window(1);
  c.returns.push_back(image(x.dtype, x.sizes, is_channels_last(x)));
}

}  // namespace torch_hpu::ir::rules
