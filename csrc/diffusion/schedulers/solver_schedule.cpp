#include "csrc/diffusion/schedulers/solver_schedule.h"

#include <algorithm>
#include <cmath>

namespace torch_hpu::diffusion {

Schedule make_solver_schedule(const SchedulerConfig& config, const std::vector<float>& training_sigmas,
                              const std::vector<double>& timesteps, bool unipc) {
  const auto count = static_cast<int64_t>(timesteps.size());
  std::vector<float> logs;
  for (const float sigma : training_sigmas) {
    logs.push_back(std::log(sigma));
  }
  const double low = config.sigma_min.value_or(training_sigmas.front()), high = config.sigma_max.value_or(training_sigmas.back());
  std::vector<double> sigmas;
  bool rounds = true;
  if (config.use_karras_sigmas) {
    sigmas = karras_sigmas(low, high, count);
    rounds = unipc || config.beta_schedule != "squaredcos_cap_v2";
  } else if (config.use_exponential_sigmas) {
    sigmas = exponential_sigmas(low, high, count);
    rounds = false;
  } else if (config.use_lu_lambdas) {
    sigmas = linspace(0, 1, count);
    const double first = logs.back(), last = logs.front();
    std::transform(sigmas.begin(), sigmas.end(), sigmas.begin(), [&](double x) { return std::exp(first + x * (last - first)); });
    rounds = config.beta_schedule != "squaredcos_cap_v2";
  }
  Schedule schedule;
  schedule.timesteps = timesteps;
  const bool respaced = !sigmas.empty();
  for (int64_t i = 0; i < count; ++i) {
    if (respaced) {
      const double t = sigma_to_timestep(sigmas[i], logs);
      schedule.timesteps[i] = rounds ? std::nearbyint(t) : std::trunc(t);
    } else {
      sigmas.push_back(interpolate(timesteps[i], training_sigmas));
    }
  }
  schedule.sigmas.assign(sigmas.begin(), sigmas.end());
  const bool zero = config.final_sigmas_type == "zero";
  schedule.sigmas.push_back(zero ? 0 : unipc && respaced ? schedule.sigmas.back() : training_sigmas.front());
  return schedule;
}

}  // namespace torch_hpu::diffusion
