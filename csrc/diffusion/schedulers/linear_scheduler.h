// The step that most solvers share: the prediction is converted, and what follows is linear in the sample, the converted prediction, those of
// the steps before and noise. A class says with which coefficients, step by step; branches (the first steps of a multistep solver, its last
// ones, a corrector) are coefficients, too.
#pragma once

#include <vector>

#include "csrc/diffusion/schedulers/conversion.h"
#include "csrc/diffusion/schedulers/parts.h"

namespace torch_hpu::diffusion {

// With m the converted prediction, h[k] that of k + 1 steps before, and z noise:
//   x = keep * sample + last * (x of the step before) + corrected_model * m + sum(corrected_history * h)    where there is a corrector
//   next = sample * x + model * m + sum(history * h) + noise * z
struct LinearStep {
  double alpha = 1, sigma = 0;  // of Conversion
  double sample = 0, model = 0, noise = 0;
  std::vector<double> history;  // as many as the class remembers, zeros may be left out
  double keep = 1, last = 0, corrected_model = 0;
  std::vector<double> corrected_history;
};

class LinearScheduler : public DiffusionScheduler {
 protected:
  // remembers: the number of converted predictions. m is a sample without noise, or noise.
  LinearScheduler(SchedulerSetup setup, int64_t remembers, bool corrects = false, bool converts_to_noise = false);

  virtual LinearStep linear_step(int64_t i) const = 0;

  std::vector<float> coefficients(int64_t i) const final;
  Advanced compute(const at::Tensor& prediction, const at::Tensor& sample, const std::vector<at::Tensor>& state, const at::Tensor& row,
                   const at::Tensor& noise) const final;
  int64_t state_size() const final;

  Conversion conversion_;

 private:
  at::Tensor convert(const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor& row) const;

  int64_t remembers_;
  bool corrects_, converts_to_noise_;
};

}  // namespace torch_hpu::diffusion
