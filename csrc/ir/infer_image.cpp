// Rules of upsampling and of shuffles between channels and pixels.
#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

void upsample_nearest(InferContext& c) {  // (self [N, C, H, W], output_size, scales_h?, scales_w?)
  check_dims(c, 0, 4, "input");
  const Window& x = c.window(0);
  const std::vector<int64_t> size = c.value(1).toIntVector();
  TORCH_CHECK(size.size() == 2 && size[0] > 0 && size[1] > 0 && x.sizes[2] > 0 && x.sizes[3] > 0, "[", c.op.name,
              "] input and output sizes should be greater than 0, but got input ", c10::IntArrayRef(x.sizes), " and output ", size);
  c.returns.push_back(image(x.dtype, DimVector{x.sizes[0], x.sizes[1], size[0], size[1]}, is_channels_last(x)));
}

void upsample_nearest_backward(InferContext& c) {  // (grad_output, output_size, input_size, scales_h?, scales_w?)
  check_dims(c, 0, 4, "gradient");
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
