// Euler's method on the probability flow, deterministic or ancestral. Samples have the variance 1 + sigma^2: the model's input is scaled.
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

#include "csrc/diffusion/schedulers/linear_scheduler.h"
#include "csrc/diffusion/schedulers/noise_schedule.h"

namespace torch_hpu::diffusion {
namespace {

class Euler : public LinearScheduler {
 public:
  explicit Euler(SchedulerSetup setup) : LinearScheduler(std::move(setup), 0), training_sigmas_(training_sigmas(alphas_cumprod())) {
    conversion_.clips = conversion_.thresholds = false;
  }

 protected:
  Schedule make_schedule(int64_t steps, const std::vector<double>* given) const override {
    Schedule schedule;
    schedule.whole_timesteps = false;
    schedule.timesteps = given ? *given : spaced_timesteps(config(), steps, steps, config().num_train_timesteps, /*round=*/false);
    for (double& t : schedule.timesteps) {
      t = static_cast<float>(t);
    }
    std::vector<double> sigmas;
    for (const double t : schedule.timesteps) {
      sigmas.push_back(interpolate(t, training_sigmas_));
    }
    respace(schedule, sigmas);
    schedule.sigmas.assign(sigmas.begin(), sigmas.end());
    schedule.sigmas.push_back(last_sigma());
    return schedule;
  }

  virtual void respace(Schedule&, std::vector<double>&) const {}
  virtual float last_sigma() const {
    return 0;
  }

  LinearStep linear_step(int64_t i) const override {
    return step_to(sigmas()[i], sigmas()[i + 1]);
  }

  // From one sigma to another along the direction that the model says.
  LinearStep step_to(float from, float to) const {
    LinearStep step;
    if (config().prediction_type == "v_prediction") {
      step.alpha = 1 / (from * from + 1);
      step.sigma = from / std::sqrt(from * from + 1);
    } else {
      step.sigma = from;
    }
    step.sample = static_cast<double>(to) / from;
    step.model = 1 - step.sample;
    return step;
  }

  float input_divisor(int64_t i) const override {
    return std::sqrt(sigmas()[i] * sigmas()[i] + 1);
  }

  std::pair<float, float> noise_level(int64_t index) const override {
    return {1, sigmas()[index]};
  }

  const std::vector<float> training_sigmas_;
};

class Discrete final : public Euler {
 public:
  using Euler::Euler;

 private:
  bool takes_timesteps() const override {
    return true;
  }
  bool continuous() const {
    return config().timestep_type == "continuous" && config().prediction_type == "v_prediction";
  }

  Schedule make_schedule(int64_t steps, const std::vector<double>* given) const override {
    const bool own = config().use_karras_sigmas || config().use_exponential_sigmas || continuous();
    TORCH_CHECK_VALUE(!given || !own, "[", noun(), "] a list of timesteps does not go with use_karras_sigmas, use_exponential_sigmas or a ",
                      "timestep_type of continuous");
    Schedule schedule = Euler::make_schedule(steps, given);
    for (size_t i = 0; continuous() && i < schedule.timesteps.size(); ++i) {
      schedule.timesteps[i] = 0.25F * torch_log(schedule.sigmas[i]);
    }
    return schedule;
  }

  void respace(Schedule& schedule, std::vector<double>& sigmas) const override {
    const auto count = static_cast<int64_t>(schedule.timesteps.size());
    if (config().interpolation_type == "log_linear") {
      sigmas = log_linear(count + 1);
    }
    if (!config().use_karras_sigmas && !config().use_exponential_sigmas) {
      return;
    }
    const double low = config().sigma_min.value_or(sigmas.back()), high = config().sigma_max.value_or(sigmas.front());
    sigmas = config().use_karras_sigmas ? karras_sigmas(low, high, count) : exponential_sigmas(low, high, count);
    std::vector<float> logs;
    for (const float sigma : training_sigmas_) {
      logs.push_back(std::log(sigma));
    }
    std::transform(sigmas.begin(), sigmas.end(), schedule.timesteps.begin(), [&](double sigma) { return sigma_to_timestep(sigma, logs); });
  }

  std::vector<double> log_linear(int64_t count) const {
    std::vector<double> sigmas = linspace(std::log(training_sigmas_.back()), std::log(training_sigmas_.front()), count);
    std::transform(sigmas.begin(), sigmas.end(), sigmas.begin(), [](double x) { return torch_exp(static_cast<float>(x)); });
    return sigmas;
  }

  float last_sigma() const override {
    return config().final_sigmas_type == "zero" ? 0 : training_sigmas_.front();
  }
};

class Ancestral final : public Euler {
 public:
  using Euler::Euler;

  bool needs_noise() const override {
    return true;
  }

 private:
  LinearStep linear_step(int64_t i) const override {
    const float from = sigmas()[i], to = sigmas()[i + 1];
    const float up = std::sqrt(to * to * (from * from - to * to) / (from * from));
    LinearStep step = step_to(from, std::sqrt(to * to - up * up));
    step.noise = up;
    return step;
  }
};

}  // namespace

std::shared_ptr<DiffusionScheduler> make_euler(SchedulerSetup setup) {
  if (setup.solver == Solver::kEulerAncestral) {
    return std::make_shared<Ancestral>(std::move(setup));
  }
  expect_value(setup, "interpolation_type", setup.config.interpolation_type, {"linear", "log_linear"});
  expect_value(setup, "timestep_type", setup.config.timestep_type, {"discrete", "continuous"});
  return std::make_shared<Discrete>(std::move(setup));
}

}  // namespace torch_hpu::diffusion
