// What torch.amp.GradScaler asks of a device, in plain ops: nothing here waits for the host.
#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include "csrc/aten/kernels.h"

namespace torch_hpu::aten {

// Gradients are multiplied by inv_scale; found_inf becomes 1 when one of them held something that is not finite.
void amp_unscale_(at::TensorList grads, at::Tensor& found_inf, const at::Tensor& inv_scale) {
  if (grads.empty()) {
    return;
  }
  std::vector<at::Tensor> bad;
  for (const at::Tensor& grad : grads) {
    bad.push_back(at::isfinite(grad).all().logical_not());
    grad.mul_(inv_scale);
  }
  found_inf.copy_(at::maximum(found_inf, at::stack(bad).any().to(found_inf.scalar_type()).view(found_inf.sizes())));
}

// A step with infinities shrinks the scale; `growth_interval` steps without them in a row let it grow, as long as it stays finite.
at::Tensor& amp_update_scale_(at::Tensor& scale, at::Tensor& growth_tracker, const at::Tensor& found_inf, double growth_factor,
                              double backoff_factor, int64_t growth_interval) {
  const at::Tensor bad = found_inf != 0, steps = growth_tracker + 1, due = steps == growth_interval;
  const at::Tensor grown = scale * growth_factor;
  const at::Tensor kept = at::where(due.logical_and(at::isfinite(grown)), grown, scale);
  growth_tracker.copy_(at::where(bad.logical_or(due), 0, steps));
  return scale.copy_(at::where(bad, scale * backoff_factor, kept));
}

}  // namespace torch_hpu::aten
