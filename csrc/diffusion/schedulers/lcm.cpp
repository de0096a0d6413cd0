// LCM: the predicted sample, noised again for the next step.
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

#include "csrc/diffusion/schedulers/linear_scheduler.h"
#include "csrc/diffusion/schedulers/noise_schedule.h"

namespace torch_hpu::diffusion {
namespace {

class Lcm final : public LinearScheduler {
 public:
  explicit Lcm(SchedulerSetup setup) : LinearScheduler(std::move(setup), 0) {}

  bool needs_noise() const override {
    return true;
  }
  bool draws_noise(int64_t i) const override {
    return i != inference_steps() - 1;
  }

 private:
  bool takes_timesteps() const override {
    return true;
  }

  // Evenly spaced indices into the schedule of the model's distillation.
  Schedule make_schedule(int64_t steps, const std::vector<double>* given) const override {
    if (given) {
      for (const double t : *given) {
        TORCH_CHECK_VALUE(t == std::floor(t), "[", noun(), "] timesteps must be whole numbers: got ", t);
      }
      return {*given, {}};
    }
    const int64_t original = config().original_inference_steps;
    TORCH_CHECK_VALUE(steps <= original, "[", noun(), "] the number of steps must not be above original_inference_steps, ", original,
                      ": got ", steps);
    const int64_t interval = config().num_train_timesteps / original;
    std::vector<double> timesteps;
    for (int64_t i = 0; i < steps; ++i) {
      const auto index =
          static_cast<int64_t>(std::floor(static_cast<double>(i) * (static_cast<double>(original) / static_cast<double>(steps))));
      timesteps.push_back(static_cast<double>((original - index) * interval - 1));
    }
    return {timesteps, {}};
  }

  LinearStep linear_step(int64_t i) const override {
    const float alpha = alpha_cumprod(timestep_at(i));
    const double t = static_cast<double>(timestep_at(i)) * config().timestep_scaling, quarter = 0.25;
    const double skip = quarter / (t * t + quarter), out = t / std::sqrt(t * t + quarter);  // the model's boundary condition
    LinearStep step;
    step.alpha = std::sqrt(alpha);
    step.sigma = std::sqrt(1 - alpha);
    step.model = out;
    step.sample = skip;
    if (draws_noise(i)) {
      const float next = alpha_cumprod(timestep_at(std::min(i + 1, steps() - 1)));
      step.model *= std::sqrt(next);
      step.sample *= std::sqrt(next);
      step.noise = std::sqrt(1 - next);
    }
    return step;
  }
};

}  // namespace

std::shared_ptr<DiffusionScheduler> make_lcm(SchedulerSetup setup) {
  TORCH_CHECK_VALUE(setup.config.original_inference_steps <= setup.config.num_train_timesteps, "[", setup.class_name,
                    "] original_inference_steps must not be above num_train_timesteps, ", setup.config.num_train_timesteps, ": got ",
                    setup.config.original_inference_steps);
  return std::make_shared<Lcm>(std::move(setup));
}

}  // namespace torch_hpu::diffusion
