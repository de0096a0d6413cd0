// Classifier-free guidance.
#include <ATen/TensorOperators.h>
#include <ATen/ops/std.h>
#include <torch_hpu/diffusion_loop.h>

#include <numeric>

namespace torch_hpu {

at::Tensor guide(const at::Tensor& prediction, const at::Tensor& scale, double rescale) {
  TORCH_CHECK(prediction.dim() > 1 && prediction.size(0) > 0 && prediction.size(0) % 2 == 0, "guided prediction has a wrong shape: got ",
              prediction.sizes(), ", expected [2 * B, ...]");
  TORCH_CHECK(scale.numel() == 1 && scale.device() == prediction.device(), "guidance scale does not fit: got ", scale.numel(),
              " numbers on ", scale.device(), ", expected one on ", prediction.device());
  TORCH_CHECK(rescale >= 0 && rescale <= 1, "guidance_rescale is out of range: got ", rescale, ", expected 0 to 1");
  const int64_t half = prediction.size(0) / 2;
  const at::Tensor negative = prediction.narrow(0, 0, half), positive = prediction.narrow(0, half, half);
  const at::Tensor guided = negative + scale.to(prediction.scalar_type()) * (positive - negative);
  if (rescale == 0) {
    return guided;
  }
  std::vector<int64_t> dims(static_cast<size_t>(prediction.dim() - 1));
  std::iota(dims.begin(), dims.end(), 1);
  const at::Tensor ratio = positive.std(dims, /*unbiased=*/true, /*keepdim=*/true) / guided.std(dims, true, true);
  return guided * ratio * rescale + guided * (1 - rescale);
}

}  // namespace torch_hpu
