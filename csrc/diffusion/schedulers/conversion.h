// From what a model predicts to the sample without noise, or to the noise.
#pragma once

#include <torch_hpu/diffusion_scheduler.h>

namespace torch_hpu::diffusion {

// The sample is alpha * original + sigma * noise, both 0-d tensors; the prediction is one of these or, v_prediction, alpha * noise - sigma *
// original.
class Conversion {
 public:
  explicit Conversion(const SchedulerConfig& config);

  at::Tensor original(const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor& alpha, const at::Tensor& sigma) const;
  at::Tensor noise(const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor& alpha, const at::Tensor& sigma) const;
  // Thresholds or clips an original sample, if the config says so.
  at::Tensor restricted(const at::Tensor& original) const;

  bool clips, thresholds;  // from the config; classes without these fields switch them off

 private:
  at::Tensor thresholded(const at::Tensor& original) const;

  enum class Kind { kNoise, kOriginal, kVelocity } kind_;
  double clip_range_, ratio_, max_value_;
};

}  // namespace torch_hpu::diffusion
