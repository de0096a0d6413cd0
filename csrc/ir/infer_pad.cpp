// Rules of reflecting and replicating pads, and of the columns of convolutions.
#include <array>

#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

void pad(InferContext& c, size_t n, bool reflects) {  // (self, padding: left, right of the last dim, of the one before ...)
  const Window& x = c.window(0);
  const std::vector<int64_t> p = c.value(1).toIntVector();
  const size_t rank = x.sizes.size();
  TORCH_CHECK(p.size() == 2 * n, "[", c.op.name, "] got ", p.size(), " padding values, expected ", 2 * n);
  TORCH_CHECK(rank == n + 1 || rank == n + 2, "[", c.op.name, "] got an input of ", rank, " dims, expected ", n + 1, " or ", n + 2);
  DimVector out = x.sizes;
  for (size_t i = 0; i < n; ++i) {
    int64_t& size = out[rank - 1 - i];
    TORCH_CHECK(!reflects || (p[2 * i] < size && p[2 * i + 1] < size), "[", c.op.name,
                "] padding size should be less than the corresponding input dimension, but got padding (", p[2 * i], ", ", p[2 * i + 1],
                ") at dimension ", rank - 1 - i, " of input ", c10::IntArrayRef(x.sizes));
    TORCH_CHECK(size > 0, "[", c.op.name, "] expected dims of size 1 or more to pad, got input ", c10::IntArrayRef(x.sizes));
    size += p[2 * i] + p[2 * i + 1];
    TORCH_CHECK(size >= 1, "[", c.op.name, "] the output would be empty: input ", c10::IntArrayRef(x.sizes), ", padding ", p);
  }
  c.returns.push_back(contiguous(x.dtype, out));
}

void channel_shuffle(InferContext& c) {  // (self, groups)
  const Window& x = c.window(0);
  const int64_t groups = c.value(1).toInt();
  TORCH_CHECK(x.sizes.size() > 2, "[", c.op.name, "] got an input of ", x.sizes.size(), " dims, expected more than 2");
  TORCH_CHECK(groups > 0 && x.sizes[1] % groups == 0, "[", c.op.name, "] number of channels must be divisible by groups: got ", x.sizes[1],
              " channels and ", groups, " groups");
  c.returns.push_back(image(x.dtype, x.sizes, is_channels_last(x)));
}

namespace {

// Places of a kernel over an image [H, W].
std::array<int64_t, 2> places(InferContext& c, size_t first, const int64_t* sizes) {  // kernel_size, dilation, padding, stride
  const auto kernel = expand(c.value(first), 2), dilation = expand(c.value(first + 1), 2), padding = expand(c.value(first + 2), 2),
             stride = expand(c.value(first + 3), 2);
  std::array<int64_t, 2> n{};
  for (size_t d = 0; d < 2; ++d) {
    TORCH_CHECK(kernel[d] > 0 && dilation[d] > 0 && padding[d] >= 0 && stride[d] > 0, "[", c.op.name,
                "] kernel size, dilation and stride should be greater than 0, padding not negative: got kernel ", kernel, ", dilation ",
                dilation, ", padding ", padding, ", stride ", stride);
    n[d] = (sizes[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1;
    TORCH_CHECK(sizes[d] + 2 * padding[d] >= dilation[d] * (kernel[d] - 1) + 1, "[", c.op.name, "] the kernel ", kernel,
                " is larger than the padded image, ", sizes[0], " x ", sizes[1]);
  }
  return n;
}

}  // namespace

void im2col(InferContext& c) {  // (self [N, C, H, W] or [C, H, W], kernel_size, dilation, padding, stride)
  const Window& x = c.window(0);
  const size_t rank = x.sizes.size();
  TORCH_CHECK(rank == 3 || rank == 4, "[", c.op.name, "] got an input of ", rank, " dims, expected 3 or 4");
  const auto n = places(c, 1, x.sizes.data() + rank - 2);
  const auto kernel = expand(c.value(1), 2);
  DimVector out(x.sizes.begin(), x.sizes.end() - 2);
  out.back() *= kernel[0] * kernel[1];
  out.push_back(n[0] * n[1]);
  c.returns.push_back(contiguous(x.dtype, out));
}

void col2im(InferContext& c) {  // (self [N, C kh kw, L] or [C kh kw, L], output_size, kernel_size, dilation, padding, stride)
  const Window& x = c.window(0);
  const size_t rank = x.sizes.size();
  TORCH_CHECK(rank == 2 || rank == 3, "[", c.op.name, "] got an input of ", rank, " dims, expected 2 or 3");
  const auto size = expand(c.value(1), 2), kernel = expand(c.value(2), 2);
  const auto n = places(c, 2, size.data());
  TORCH_CHECK(x.sizes[rank - 2] % (kernel[0] * kernel[1]) == 0 && x.sizes[rank - 1] == n[0] * n[1], "[", c.op.name, "] got columns ",
              c10::IntArrayRef(x.sizes), ", expected a multiple of ", kernel[0] * kernel[1], " and ", n[0] * n[1], " at the end");
  DimVector out(x.sizes.begin(), x.sizes.end() - 1);
  out.back() /= kernel[0] * kernel[1];
  out.append({size[0], size[1]});
  c.returns.push_back(contiguous(x.dtype, out));
}

}  // namespace torch_hpu::ir::rules
