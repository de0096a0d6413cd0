#include "csrc/diffusion/schedulers/noise_schedule.h"

#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <functional>
#include <numbers>

namespace torch_hpu::diffusion {
namespace {

// Betas from a function of time in [0, 1]: the product of alphas.
at::Tensor betas_for(int64_t count, const std::function<double(double)>& alpha_bar) {
  std::vector<double> betas;
  for (int64_t i = 0; i < count; ++i) {
    const double from = alpha_bar(static_cast<double>(i) / count), to = alpha_bar(static_cast<double>(i + 1) / count);
    betas.push_back(std::min(1 - to / from, 0.999));
  }
  return at::tensor(betas, at::kDouble).to(at::kFloat);
}

double cosine(double t) {
  const double root = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
  return root * root;
}

double laplace(double t) {
  const double lambda = -0.5 * std::copysign(1.0, 0.5 - t) * std::log(1 - 2 * std::fabs(0.5 - t) + 1e-6);
  const double snr = std::exp(lambda);
  return std::sqrt(snr / (1 + snr));
}

at::Tensor make_betas(const std::string& noun, const SchedulerConfig& config) {
  const int64_t count = config.num_train_timesteps;
  const double start = config.beta_start, end = config.beta_end;
  const std::string& schedule = config.beta_schedule;
  if (!config.trained_betas.empty()) {
    TORCH_CHECK_VALUE(static_cast<int64_t>(config.trained_betas.size()) == count, "[", noun,
                      "] trained_betas must have one value for each of ", "num_train_timesteps: got ", config.trained_betas.size(),
                      " values, expected ", count);
    return at::tensor(config.trained_betas, at::kDouble).to(at::kFloat);
  }
  if (schedule == "linear") {
    return at::linspace(start, end, count, at::kFloat);
  }
  if (schedule == "scaled_linear") {
    return at::linspace(std::sqrt(start), std::sqrt(end), count, at::kFloat).square();
  }
  if (schedule == "sigmoid") {
    return at::sigmoid(at::linspace(-6, 6, count, at::kFloat)) * (end - start) + start;
  }
  return betas_for(count, schedule == "laplace" ? laplace : cosine);
}

// No signal at the last timestep, and what there was at the first.
at::Tensor rescale_zero_snr(const at::Tensor& betas) {
  const at::Tensor roots = at::cumprod(1.0 - betas, 0).sqrt();
  const at::Tensor first = roots[0].clone(), last = roots[-1].clone();
  const at::Tensor bar = ((roots - last) * (first / (first - last))).square();
  return 1 - at::cat({bar.slice(0, 0, 1), bar.slice(0, 1) / bar.slice(0, 0, -1)});
}

template <typename Function>
float apply(Function function, float x) {
  return function(at::scalar_tensor(x, at::kFloat)).template item<float>();
}

}  // namespace

at::Tensor make_alphas_cumprod(const std::string& noun, const SchedulerConfig& config, bool keeps_a_little) {
  at::Tensor betas = make_betas(noun, config);
  const bool in_range = at::logical_and(betas >= 0, betas < 1).all().item<bool>();
  TORCH_CHECK_VALUE(in_range, "[", noun, "] betas must be in [0, 1): got values from ", betas.min().item<float>(), " to ",
                    betas.max().item<float>());
  if (config.rescale_betas_zero_snr) {
    betas = rescale_zero_snr(betas);
  }
  at::Tensor alphas = at::cumprod(1.0 - betas, 0);
  if (config.rescale_betas_zero_snr && keeps_a_little) {
    alphas[-1].fill_(std::ldexp(1.0, -24));
  }
  return alphas;
}

std::vector<double> linspace(double first, double last, int64_t count) {
  std::vector<double> values;
  const double step = count > 1 ? (last - first) / static_cast<double>(count - 1) : 0;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<double>(i) * step + first);
  }
  if (count > 1) {
    values.back() = last;
  }
  return values;
}

std::vector<double> spaced_timesteps(const SchedulerConfig& config, int64_t steps, int64_t intervals, int64_t count, bool round) {
  std::vector<double> timesteps;
  if (config.timestep_spacing == "trailing") {
    const double ratio = static_cast<double>(config.num_train_timesteps) / static_cast<double>(steps), start = static_cast<double>(count);
    const double step = (start - ratio) - start;  // rounded as numpy.arange has it
    const auto length = static_cast<int64_t>(std::ceil(-start / -ratio));
    for (int64_t i = 0; i < length; ++i) {
      timesteps.push_back(std::nearbyint(start + static_cast<double>(i) * step) - 1);
    }
    return timesteps;
  }
  if (config.timestep_spacing == "linspace") {
    timesteps = linspace(0, static_cast<double>(count - 1), intervals);
    if (round) {
      std::transform(timesteps.begin(), timesteps.end(), timesteps.begin(), [](double t) { return std::nearbyint(t); });
    }
  } else {
    for (int64_t i = 0; i < intervals; ++i) {
      timesteps.push_back(static_cast<double>(i * (count / intervals) + config.steps_offset));
    }
  }
  std::reverse(timesteps.begin(), timesteps.end());
  timesteps.resize(steps);
  return timesteps;
}

std::vector<float> training_sigmas(const at::Tensor& alphas_cumprod) {
  const at::Tensor sigmas = ((1 - alphas_cumprod) / alphas_cumprod).sqrt().contiguous();
  return {sigmas.data_ptr<float>(), sigmas.data_ptr<float>() + sigmas.numel()};
}

double interpolate(double x, const std::vector<float>& values) {
  const auto last = static_cast<int64_t>(values.size()) - 1;
  const auto below = static_cast<int64_t>(std::floor(x));
  if (below < 0 || below >= last) {
    return below < 0 ? values.front() : values.back();
  }
  const double low = values[below], high = values[below + 1];
  return (high - low) * (x - static_cast<double>(below)) + low;
}

std::vector<double> karras_sigmas(double sigma_min, double sigma_max, int64_t count) {
  constexpr double kRho = 7;
  const double low = std::pow(sigma_min, 1 / kRho), high = std::pow(sigma_max, 1 / kRho);
  std::vector<double> sigmas = linspace(0, 1, count);
  for (double& sigma : sigmas) {
    sigma = std::pow(high + sigma * (low - high), kRho);
  }
  return sigmas;
}

std::vector<double> exponential_sigmas(double sigma_min, double sigma_max, int64_t count) {
  std::vector<double> sigmas = linspace(std::log(sigma_max), std::log(sigma_min), count);
  std::transform(sigmas.begin(), sigmas.end(), sigmas.begin(), [](double x) { return std::exp(x); });
  return sigmas;
}

double sigma_to_timestep(double sigma, const std::vector<float>& log_sigmas) {
  const double x = std::log(std::max(sigma, 1e-10));
  size_t below = 0;  // the last that is not above x
  for (size_t i = 0; i < log_sigmas.size(); ++i) {
    below = x >= log_sigmas[i] ? i : below;
  }
  below = std::min(below, log_sigmas.size() - 2);
  const float low = log_sigmas[below], high = log_sigmas[below + 1];
  const double weight = std::clamp((low - x) / (low - high), 0.0, 1.0);
  return (1 - weight) * static_cast<double>(below) + weight * static_cast<double>(below + 1);
}

float torch_sqrt(float x) {
  return apply([](const at::Tensor& t) { return t.sqrt(); }, x);
}

float torch_exp(float x) {
  return apply([](const at::Tensor& t) { return t.exp(); }, x);
}

float torch_expm1(float x) {
  return apply([](const at::Tensor& t) { return t.expm1(); }, x);
}

float torch_log(float x) {
  return apply([](const at::Tensor& t) { return t.log(); }, x);
}

}  // namespace torch_hpu::diffusion
