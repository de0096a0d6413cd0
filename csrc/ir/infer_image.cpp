// Rules of upsampling and of shuffles between channels and pixels.
#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

void upsample(InferContext& c, size_t n) {  // (self [N, C, spatial...], output_size, ...)
  check_dims(c, 0, 2 + n, "input");
  const Window& x = c.window(0);
  const std::vector<int64_t> size = c.value(1).toIntVector();
  DimVector out{x.sizes[0], x.sizes[1]};
  TORCH_CHECK(size.size() == n, "[", c.op.name, "] got an output size of ", size.size(), " dims, expected ", n);
  for (size_t d = 0; d < n; ++d) {
    TORCH_CHECK(size[d] > 0 && x.sizes[2 + d] > 0, "[", c.op.name, "] input and output sizes should be greater than 0, but got input ",
                c10::IntArrayRef(x.sizes), " and output ", size);
    out.push_back(size[d]);
  }
  c.returns.push_back(image(x.dtype, out, is_channels_last(x)));
}

void upsample_backward(InferContext& c, size_t n) {  // (grad_output, output_size, input_size, ...)
  check_dims(c, 0, 2 + n, "gradient");
  c.returns.push_back(image(c.window(0).dtype, c.value(2).toIntVector(), is_channels_last(c.window(0))));
}

void pixel_shuffle(InferContext& c) {  // (self, factor)
  const Window& x = c.window(0);
  const int64_t r = c.value(1).toInt();
  const size_t n = x.sizes.size();
  TORCH_CHECK(n >= 3, "[", c.op.name, "] expected an input with at least 3 dimensions, but got ", n);
  TORCH_CHECK(r > 0, "[", c.op.name, "] expected a positive upscale_factor, but got ", r);
  TORCH_CHECK(x.sizes[n - 3] % (r * r) == 0, "[", c.op.name,
              "] expected a channel dimension divisible by the square of upscale_factor, but got ", x.sizes[n - 3]);
  DimVector out = x.sizes;
  out[n - 3] /= r * r;
  out[n - 2] *= r;
  out[n - 1] *= r;
  c.returns.push_back(image(x.dtype, out, is_channels_last(x)));
}

void pixel_unshuffle(InferContext& c) {  // (self, factor)
  const Window& x = c.window(0);
  const int64_t r = c.value(1).toInt();
  const size_t n = x.sizes.size();
  TORCH_CHECK(n >= 3, "[", c.op.name, "] expected an input with at least 3 dimensions, but got ", n);
  TORCH_CHECK(r > 0, "[", c.op.name, "] expected a positive downscale_factor, but got ", r);
  TORCH_CHECK(x.sizes[n - 2] % r == 0 && x.sizes[n - 1] % r == 0, "[", c.op.name,
              "] expected height and width divisible by downscale_factor, but got ", x.sizes[n - 2], " and ", x.sizes[n - 1]);
  DimVector out = x.sizes;
  out[n - 3] *= r * r;
  out[n - 2] /= r;
  out[n - 1] /= r;
  c.returns.push_back(image(x.dtype, out, is_channels_last(x)));
}

}  // namespace torch_hpu::ir::rules
