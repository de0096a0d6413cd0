#include "csrc/diffusion/schedulers/conversion.h"

#include <ATen/Functions.h>

namespace torch_hpu::diffusion {

Conversion::Conversion(const SchedulerConfig& config)
    : clips(config.clip_sample),
      thresholds(config.thresholding),
      kind_(config.prediction_type == "epsilon"  ? Kind::kNoise
            : config.prediction_type == "sample" ? Kind::kOriginal
                                                 : Kind::kVelocity),
      clip_range_(config.clip_sample_range),
      ratio_(config.dynamic_thresholding_ratio),
      max_value_(config.sample_max_value) {}

at::Tensor Conversion::original(const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor& alpha,
                                const at::Tensor& sigma) const {
  switch (kind_) {
    case Kind::kNoise:
      return (sample - sigma * prediction) / alpha;
    case Kind::kVelocity:
      return alpha * sample - sigma * prediction;
    default:
      return prediction;
  }
}

at::Tensor Conversion::noise(const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor& alpha,
                             const at::Tensor& sigma) const {
  switch (kind_) {
    case Kind::kOriginal:
      return (sample - alpha * prediction) / sigma;
    case Kind::kVelocity:
      return alpha * prediction + sigma * sample;
    default:
      return prediction;
  }
}

at::Tensor Conversion::restricted(const at::Tensor& original) const {
  return thresholds ? thresholded(original) : clips ? original.clamp(-clip_range_, clip_range_) : original;
}

// Of each sample of the batch: to a quantile of its absolute values, which becomes 1.
at::Tensor Conversion::thresholded(const at::Tensor& original) const {
  const at::Tensor flat = original.flatten(1);
  const at::Tensor limit = at::quantile(flat.abs(), ratio_, 1).clamp(1, std::max(max_value_, 1.0)).clamp_max(max_value_).unsqueeze(1);
  return (at::clamp(flat, -limit, limit) / limit).reshape_as(original);
}

}  // namespace torch_hpu::diffusion
