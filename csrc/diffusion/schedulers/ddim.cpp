#include <torch_hpu/ddim_scheduler.h>

#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

#include "csrc/diffusion/schedulers/conversion.h"
#include "csrc/diffusion/schedulers/noise_schedule.h"
#include "csrc/diffusion/schedulers/parts.h"

namespace torch_hpu {

using diffusion::column;
using diffusion::torch_sqrt;

namespace {

enum : int64_t { kAlpha = diffusion::kFirstColumn, kSigma, kPreviousAlpha, kDirection, kDeviation };

template <typename Function>
std::vector<float> list(int64_t steps, Function function) {
  std::vector<float> values;
  for (int64_t i = 0; i < steps; ++i) {
    values.push_back(function(i));
  }
  return values;
}

}  // namespace

GaudiDDIMScheduler::GaudiDDIMScheduler(diffusion::SchedulerSetup setup) : DiffusionScheduler(std::move(setup)) {}

std::shared_ptr<GaudiDDIMScheduler> GaudiDDIMScheduler::from_pretrained(const std::string& folder, const std::string& subfolder) {
  const auto scheduler = DiffusionScheduler::from_pretrained(folder, subfolder);
  return std::dynamic_pointer_cast<GaudiDDIMScheduler>(scheduler->switched("GaudiDDIMScheduler"));
}

std::shared_ptr<GaudiDDIMScheduler> GaudiDDIMScheduler::from_config(const std::string& json) {
  return std::dynamic_pointer_cast<GaudiDDIMScheduler>(make("GaudiDDIMScheduler", json));
}

diffusion::Schedule GaudiDDIMScheduler::make_schedule(int64_t steps, const std::vector<double>*) const {
  return {diffusion::spaced_timesteps(config(), steps, steps, config().num_train_timesteps), {}};
}

float GaudiDDIMScheduler::previous_alpha(int64_t i) const {
  const int64_t t = timestep_at(i) - config().num_train_timesteps / inference_steps();
  return t >= 0 ? alpha_cumprod(t) : config().set_alpha_to_one ? 1 : alpha_cumprod(0);
}

float GaudiDDIMScheduler::variance(int64_t i) const {
  const float alpha = alpha_cumprod(timestep_at(i)), previous = previous_alpha(i);
  return std::max((1 - previous) / (1 - alpha + 1e-8F) * (1 - alpha / previous), 0.0F);
}

std::vector<float> GaudiDDIMScheduler::coefficients(int64_t i) const {
  const float alpha = alpha_cumprod(timestep_at(i)), previous = previous_alpha(i);
  const float deviation = static_cast<float>(eta_) * std::sqrt(variance(i));
  const float rest = std::max(1 - previous - deviation * deviation, 0.0F);
  return {torch_sqrt(alpha), torch_sqrt(1 - alpha), torch_sqrt(previous), torch_sqrt(rest), deviation};
}

// The formulas, and the order of operations, of diffusers: with eta = 0 the samples are the same to the last bits.
diffusion::Advanced GaudiDDIMScheduler::compute(const at::Tensor& prediction, const at::Tensor& sample, const std::vector<at::Tensor>&,
                                                const at::Tensor& row, const at::Tensor& noise) const {
  const diffusion::Conversion conversion(config());
  const at::Tensor alpha = column(row, kAlpha), sigma = column(row, kSigma);
  const at::Tensor original = conversion.restricted(conversion.original(prediction, sample, alpha, sigma));
  const at::Tensor direction =
      use_clipped_model_output_ ? (sample - alpha * original) / sigma : conversion.noise(prediction, sample, alpha, sigma);
  at::Tensor next = column(row, kPreviousAlpha) * original + column(row, kDirection) * direction;
  if (noise.defined()) {
    next = next + column(row, kDeviation) * noise;
  }
  return {next, original, {}};
}

// ---- the rolled table

// Made on the CPU: on the device each number of steps would be a graph of its own.
void GaudiDDIMScheduler::rows_changed(bool resets) {
  rolled_ = resets ? 0 : rolled_;
  const at::Tensor all = at::stack(at::TensorList(host_rows()).slice(begin_index()));
  table_ = (rolled_ > 0 ? at::roll(all, -rolled_, 0) : all).to(rows().front().device());
}

const at::Tensor& GaudiDDIMScheduler::table() const {
  check_timesteps_set();
  if (!table_.defined()) {
    const at::Tensor all = at::stack(at::TensorList(rows()).slice(begin_index()));
    table_ = rolled_ > 0 ? at::roll(all, -rolled_, 0) : all;
  }
  return table_;
}

void GaudiDDIMScheduler::roll_params() {
  table_ = at::roll(table(), -1, 0);
  rolled_ = (rolled_ + 1) % table_.size(0);
}

void GaudiDDIMScheduler::reset_timestep_dependent_params() {
  check_timesteps_set();
  rows_changed(/*resets=*/true);
}

SchedulerStep GaudiDDIMScheduler::step(const at::Tensor& model_output, const at::Tensor& sample, double eta, bool use_clipped_model_output,
                                       const std::optional<at::Generator>& generator, const at::Tensor& variance_noise) {
  check_timesteps_set();
  set_eta(eta);
  use_clipped_model_output_ = use_clipped_model_output;
  SchedulerStep result = apply(model_output, sample, table()[0], begin_index() + rolled_, generator, variance_noise);
  roll_params();
  return result;
}

// ---- eta

bool GaudiDDIMScheduler::needs_noise() const {
  return eta_ > 0;
}

bool GaudiDDIMScheduler::draws_noise(int64_t) const {
  return eta_ > 0;
}

bool GaudiDDIMScheduler::accepts_eta() const {
  return true;
}

double GaudiDDIMScheduler::eta() const {
  return eta_;
}

void GaudiDDIMScheduler::set_use_clipped_model_output(bool enabled) {
  use_clipped_model_output_ = enabled;
}

std::vector<float> GaudiDDIMScheduler::alpha_prod_t_list() const {
  return list(steps(), [&](int64_t i) { return alpha_cumprod(timestep_at(i)); });
}

std::vector<float> GaudiDDIMScheduler::alpha_prod_t_prev_list() const {
  return list(steps(), [&](int64_t i) { return previous_alpha(i); });
}

std::vector<float> GaudiDDIMScheduler::variance_list() const {
  return list(steps(), [&](int64_t i) { return variance(i); });
}

void GaudiDDIMScheduler::set_eta(double eta) {
  TORCH_CHECK_VALUE(eta >= 0 && eta <= 1, "[", noun(), "] eta must be in [0, 1]: got ", eta);
  if (eta == eta_) {
    return;
  }
  eta_ = eta;
  if (has_timesteps()) {
    update_rows();
  }
}

}  // namespace torch_hpu
