// Noise levels of training, and the timesteps of inference: number for number as diffusers has them from torch (float32) and numpy (double).
#pragma once

#include <torch_hpu/diffusion_scheduler.h>

#include <cmath>
#include <string>
#include <vector>

namespace torch_hpu::diffusion {

// [num_train_timesteps] float32. ends_in_noise: nothing is left of the sample at the last one (rescale_betas_zero_snr); the classes that divide
// by it keep a little.
at::Tensor make_alphas_cumprod(const std::string& noun, const SchedulerConfig& config, bool keeps_a_little);

std::vector<double> linspace(double first, double last, int64_t count);

// `steps` of the timesteps 0 ... count - 1, noisiest first, as timestep_spacing says. intervals: the number of intervals between them and the
// end, steps or steps + 1 (linspace and leading then leave out timestep 0). round: of linspace.
std::vector<double> spaced_timesteps(const SchedulerConfig& config, int64_t steps, int64_t intervals, int64_t count, bool round = true);

// Noise to signal, of each timestep of training.
std::vector<float> training_sigmas(const at::Tensor& alphas_cumprod);
double interpolate(double x, const std::vector<float>& values);  // at 0, 1, 2...
// As many sigmas between two, noisiest first.
std::vector<double> karras_sigmas(double sigma_min, double sigma_max, int64_t count);
std::vector<double> exponential_sigmas(double sigma_min, double sigma_max, int64_t count);
// The timestep (a fraction) of a sigma.
double sigma_to_timestep(double sigma, const std::vector<float>& log_sigmas);

// Functions of one float, to the bit as torch has them (some are not rounded correctly, even the square root).
float torch_sqrt(float x);
float torch_exp(float x);
float torch_expm1(float x);
float torch_log(float x);

// Of a sample with this noise to signal ratio and variance 1: how much of it is signal, how much noise.
struct Level {
  explicit Level(float sigma_ratio) : alpha(1 / std::sqrt(sigma_ratio * sigma_ratio + 1)), sigma(sigma_ratio * alpha) {}
  float lambda() const {
    return torch_log(alpha) - torch_log(sigma);
  }
  float alpha, sigma;
};

}  // namespace torch_hpu::diffusion
