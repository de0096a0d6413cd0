// DDPM: ancestral sampling with the posterior's variance.
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

#include "csrc/diffusion/schedulers/linear_scheduler.h"
#include "csrc/diffusion/schedulers/noise_schedule.h"

namespace torch_hpu::diffusion {
namespace {

class Ddpm final : public LinearScheduler {
 public:
  explicit Ddpm(SchedulerSetup setup) : LinearScheduler(std::move(setup), 0) {}

  bool needs_noise() const override {
    return true;
  }
  bool draws_noise(int64_t i) const override {
    return timestep_at(i) > 0;
  }

 private:
  bool takes_timesteps() const override {
    return true;
  }

  Schedule make_schedule(int64_t steps, const std::vector<double>* given) const override {
    const std::vector<double> timesteps = given ? *given : spaced_timesteps(config(), steps, steps, config().num_train_timesteps);
    for (const double t : timesteps) {
      TORCH_CHECK_VALUE(t == std::floor(t), "[", noun(), "] timesteps must be whole numbers: got ", t);
    }
    return {timesteps, {}};
  }

  LinearStep linear_step(int64_t i) const override {
    const float alpha = alpha_cumprod(timestep_at(i)), previous = i + 1 < steps() ? alpha_cumprod(timestep_at(i + 1)) : 1;
    const float step_alpha = alpha / previous, step_beta = 1 - step_alpha;
    LinearStep step;
    step.alpha = std::sqrt(alpha);
    step.sigma = std::sqrt(1 - alpha);
    step.model = std::sqrt(previous) * step_beta / (1 - alpha);
    step.sample = std::sqrt(step_alpha) * (1 - previous) / (1 - alpha);
    step.noise = draws_noise(i) ? deviation(alpha, previous, step_beta) : 0;
    return step;
  }

  float deviation(float alpha, float previous, float step_beta) const {
    if (config().variance_type == "fixed_large") {
      return std::sqrt(step_beta);
    }
    const float variance = std::max((1 - previous) / (1 - alpha) * step_beta, 1e-20F);
    return config().variance_type == "fixed_small" ? std::sqrt(variance) : torch_exp(0.5F * torch_log(variance));
  }
};

}  // namespace

std::shared_ptr<DiffusionScheduler> make_ddpm(SchedulerSetup setup) {
  expect_value(setup, "variance_type", setup.config.variance_type, {"fixed_small", "fixed_small_log", "fixed_large"});
  return std::make_shared<Ddpm>(std::move(setup));
}

}  // namespace torch_hpu::diffusion
