#include "csrc/diffusion/schedulers/linear_scheduler.h"

#include <ATen/Functions.h>
#include <c10/util/Exception.h>

namespace torch_hpu::diffusion {
namespace {

// Columns of a row; history and the corrector's follow.
enum : int64_t { kAlpha = kFirstColumn, kSigma, kSample, kModel, kNoise, kHistory };

void append(std::vector<float>& row, std::vector<double> values, int64_t count) {
  TORCH_INTERNAL_ASSERT(static_cast<int64_t>(values.size()) <= count);
  values.resize(count);
  row.insert(row.end(), values.begin(), values.end());
}

}  // namespace

LinearScheduler::LinearScheduler(SchedulerSetup setup, int64_t remembers, bool corrects, bool converts_to_noise)
    : DiffusionScheduler(std::move(setup)),
      conversion_(config()),
      remembers_(remembers),
      corrects_(corrects),
      converts_to_noise_(converts_to_noise) {}

std::vector<float> LinearScheduler::coefficients(int64_t i) const {
  const LinearStep step = linear_step(i);
  std::vector<float> row;
  append(row, {step.alpha, step.sigma, step.sample, step.model, step.noise}, kHistory - kFirstColumn);
  append(row, step.history, remembers_);
  if (corrects_) {
    append(row, {step.keep, step.last, step.corrected_model}, 3);
    append(row, step.corrected_history, remembers_);
  }
  return row;
}

int64_t LinearScheduler::state_size() const {
  return remembers_ + corrects_;
}

at::Tensor LinearScheduler::convert(const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor& row) const {
  const at::Tensor alpha = column(row, kAlpha), sigma = column(row, kSigma);
  if (!converts_to_noise_) {
    return conversion_.restricted(conversion_.original(prediction, sample, alpha, sigma));
  }
  const at::Tensor noise = conversion_.noise(prediction, sample, alpha, sigma);
  if (!conversion_.thresholds) {
    return noise;
  }
  return (sample - alpha * conversion_.restricted((sample - sigma * noise) / alpha)) / sigma;
}

Advanced LinearScheduler::compute(const at::Tensor& prediction, const at::Tensor& sample, const std::vector<at::Tensor>& state,
                                  const at::Tensor& row, const at::Tensor& noise) const {
  const at::Tensor model = convert(prediction, sample, row);
  at::Tensor x = sample;
  if (corrects_) {
    const int64_t first = kHistory + remembers_;
    x = column(row, first) * sample + column(row, first + 1) * state.back() + column(row, first + 2) * model;
    for (int64_t k = 0; k < remembers_; ++k) {
      x = x + column(row, first + 3 + k) * state[k];
    }
  }
  at::Tensor next = column(row, kSample) * x + column(row, kModel) * model;
  for (int64_t k = 0; k < remembers_; ++k) {
    next = next + column(row, kHistory + k) * state[k];
  }
  if (noise.defined()) {
    next = next + column(row, kNoise) * noise;
  }
  std::vector<at::Tensor> new_state;
  if (remembers_ > 0) {
    new_state = {model};
    new_state.insert(new_state.end(), state.begin(), state.begin() + remembers_ - 1);
  }
  if (corrects_) {
    new_state.push_back(x);
  }
  return {next, converts_to_noise_ ? at::Tensor() : model, new_state};
}

}  // namespace torch_hpu::diffusion
