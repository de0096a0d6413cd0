// The static step, the eager one on top of it, and noise.
#include <torch_hpu/diffusion_scheduler.h>

#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

#include "csrc/diffusion/schedulers/parts.h"

namespace torch_hpu {

using diffusion::Solver;

namespace {

at::ScalarType compute_type(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// [N, 1, 1...], for tensors of a shape [N, ...].
at::Tensor along_batch(const at::Tensor& values, const at::Tensor& like) {
  std::vector<int64_t> sizes(like.dim(), 1);
  sizes[0] = -1;
  return values.reshape(sizes);
}

}  // namespace

// ---- the static step

at::Tensor DiffusionScheduler::timestep(const at::Tensor& row) const {
  return diffusion::column(row, diffusion::kTimestepColumn);
}

at::Tensor DiffusionScheduler::scale_model_input(const at::Tensor& latents, const at::Tensor& row) const {
  const unsigned euler = unsigned(Solver::kEuler) | unsigned(Solver::kEulerAncestral);
  return unsigned(setup_->solver) & euler ? latents / diffusion::column(row, diffusion::kDivisorColumn) : latents;
}

std::vector<at::Tensor> DiffusionScheduler::initial_state(const at::Tensor& latents) const {
  std::vector<at::Tensor> state;
  for (int64_t i = 0; i < state_size(); ++i) {
    state.push_back(at::zeros(latents.sizes(), latents.options().dtype(compute_type(latents))));
  }
  return state;
}

std::vector<at::Tensor> DiffusionScheduler::advance(const at::Tensor& prediction, const at::Tensor& latents,
                                                    const std::vector<at::Tensor>& state, const at::Tensor& row,
                                                    const at::Tensor& noise) const {
  diffusion::Advanced next = checked_compute(prediction, latents, state, row, noise);
  std::vector<at::Tensor> tensors = {next.sample.to(latents.scalar_type())};
  tensors.insert(tensors.end(), next.state.begin(), next.state.end());
  return tensors;
}

diffusion::Advanced DiffusionScheduler::checked_compute(const at::Tensor& prediction, const at::Tensor& latents,
                                                        const std::vector<at::Tensor>& state, const at::Tensor& row,
                                                        const at::Tensor& noise) const {
  TORCH_CHECK_VALUE(prediction.sizes() == latents.sizes(), "[", noun(), "] the model's prediction must have the shape of the latents: got ",
                    prediction.sizes(), ", expected ", latents.sizes());
  TORCH_CHECK_VALUE(latents.dim() >= 2 && latents.is_floating_point(), "[", noun(),
                    "] latents must be floating and of two or more dimensions: got ", latents.scalar_type(), " ", latents.sizes());
  TORCH_CHECK_VALUE(static_cast<int64_t>(state.size()) == state_size(), "[", noun(), "] the state must have ", state_size(),
                    " tensors, as initial_state() has: got ", state.size());
  TORCH_CHECK_VALUE(row.dim() == 1 && row.scalar_type() == at::kFloat, "[", noun(), "] a row must be [", rows_.empty() ? 0 : row_size(),
                    "] float32: got ", row.scalar_type(), " ", row.sizes());
  TORCH_CHECK_VALUE(!needs_noise() || noise.defined(), "[", noun(), "] this scheduler adds noise: expected a tensor of it");
  TORCH_CHECK_VALUE(!needs_noise() || noise.sizes() == latents.sizes(), "[", noun(), "] noise must have the shape of the latents: got ",
                    noise.sizes(), ", expected ", latents.sizes());
  const at::ScalarType type = compute_type(latents);
  return compute(prediction.to(type), latents.to(type), state, row, needs_noise() ? noise.to(type) : at::Tensor());
}

// ---- the eager step

int64_t DiffusionScheduler::find_step(double timestep) {
  check_timesteps_set();
  const auto wanted = static_cast<float>(timestep);
  const at::Tensor times = timesteps_.to(at::kFloat);
  const float* values = times.data_ptr<float>();
  const auto shown = [&](int64_t i) { return i < steps() ? c10::str(values[i]) : "none, all steps are done"; };
  if (next_step_ && *next_step_ < steps() && values[*next_step_] == wanted) {
    return *next_step_;
  }
  const bool begins = !next_step_ || state_size() == 0;
  TORCH_CHECK_VALUE(begins, "[", noun(), "] the step must be that of the next timestep: got ", timestep, ", expected ", shown(*next_step_),
                    " (set_timesteps() begins anew)");
  if (!next_step_ && begin_given_) {
    return begin_;
  }
  const float* found = std::find(values, values + steps(), wanted);
  TORCH_CHECK_VALUE(found != values + steps(), "[", noun(), "] the timestep must be one of the schedule's: got ", timestep);
  const float* second = std::find(found + 1, values + steps(), wanted);  // whoever begins with a timestep that comes twice
  return (second != values + steps() ? second : found) - values;
}

SchedulerStep DiffusionScheduler::step(const at::Tensor& model_output, double timestep, const at::Tensor& sample,
                                       const std::optional<at::Generator>& generator, const at::Tensor& variance_noise) {
  const int64_t index = find_step(timestep);
  if (!next_step_) {
    if (state_size() > 0 && index != begin_) {
      begin_ = index;
      update_rows();
    }
    state_ = initial_state(sample);
  }
  SchedulerStep result = apply(model_output, sample, rows_[index], index, generator, variance_noise);
  next_step_ = index + 1;
  return result;
}

SchedulerStep DiffusionScheduler::apply(const at::Tensor& model_output, const at::Tensor& sample, const at::Tensor& row, int64_t index,
                                        const std::optional<at::Generator>& generator, const at::Tensor& variance_noise) {
  TORCH_CHECK_VALUE(!generator || !variance_noise.defined(), "[", noun(), "] expected either a generator or variance_noise: got both");
  at::Tensor noise = variance_noise;
  if (!noise.defined() && needs_noise()) {
    const std::vector<at::Generator> generators = generator ? std::vector<at::Generator>{*generator} : std::vector<at::Generator>{};
    noise = draws_noise(index) ? draw_noise(model_output.sizes(), generators, model_output.scalar_type(), sample.device())
                               : at::zeros_like(sample);
  }
  diffusion::Advanced next = checked_compute(model_output, sample, state_, row, noise);
  state_ = std::move(next.state);
  const auto back = [&](const at::Tensor& tensor) { return tensor.defined() ? tensor.to(sample.scalar_type()) : tensor; };
  return {back(next.sample), back(next.original)};
}

at::Tensor DiffusionScheduler::scale_model_input(const at::Tensor& sample, double timestep) {
  return scale_model_input(sample, rows_[find_step(timestep)]);
}

bool DiffusionScheduler::needs_noise() const {
  return false;
}

bool DiffusionScheduler::draws_noise(int64_t) const {
  return needs_noise();
}

bool DiffusionScheduler::accepts_eta() const {
  return false;
}

void DiffusionScheduler::set_eta(double) {}

// ---- noise

at::Tensor DiffusionScheduler::add_noise(const at::Tensor& original, const at::Tensor& noise, int64_t index) const {
  check_timesteps_set();
  TORCH_CHECK_INDEX(index >= 0 && index < steps(), "[", noun(), "] the step must be in [0, ", steps(), "): got ", index);
  TORCH_CHECK_VALUE(original.sizes() == noise.sizes(), "[", noun(), "] noise must have the shape of the samples: got ", noise.sizes(),
                    ", expected ", original.sizes());
  const auto [alpha, sigma] = noise_level(index);
  return alpha * original + sigma * noise;
}

std::pair<float, float> DiffusionScheduler::noise_level(int64_t index) const {
  const float alpha = alpha_cumprod(timestep_at(index));
  return {std::sqrt(alpha), std::sqrt(1 - alpha)};
}

const at::Tensor& DiffusionScheduler::alphas_cumprod() const {
  return alphas_cumprod_;
}

const at::Tensor& DiffusionScheduler::alphas_on(c10::Device device) const {
  if (!device_alphas_.defined() || device_alphas_.device() != device) {
    device_alphas_ = alphas_cumprod_.to(device);
  }
  return device_alphas_;
}

at::Tensor DiffusionScheduler::add_training_noise(const at::Tensor& original, const at::Tensor& noise, const at::Tensor& timesteps) const {
  const at::Tensor alphas = alphas_on(original.device()).to(original.scalar_type()).index_select(0, timesteps.flatten());
  return along_batch(alphas.sqrt(), original) * original + along_batch((1 - alphas).sqrt(), original) * noise;
}

at::Tensor DiffusionScheduler::velocity(const at::Tensor& sample, const at::Tensor& noise, const at::Tensor& timesteps) const {
  const at::Tensor alphas = alphas_on(sample.device()).to(sample.scalar_type()).index_select(0, timesteps.flatten());
  return along_batch(alphas.sqrt(), sample) * noise - along_batch((1 - alphas).sqrt(), sample) * sample;
}

at::Tensor draw_noise(at::IntArrayRef sizes, const std::vector<at::Generator>& generators, at::ScalarType dtype, c10::Device device) {
  const auto draw = [&](at::IntArrayRef shape, const std::optional<at::Generator>& generator) {
    return at::randn(shape, generator, at::TensorOptions().dtype(dtype).device(c10::kCPU));
  };
  if (generators.size() <= 1) {
    return draw(sizes, generators.empty() ? std::nullopt : std::optional(generators[0])).to(device);
  }
  TORCH_CHECK_VALUE(!sizes.empty() && static_cast<int64_t>(generators.size()) == sizes[0],
                    "[draw_noise] expected one generator, or one for each of ", sizes.empty() ? 0 : sizes[0], " samples: got ",
                    generators.size());
  std::vector<int64_t> one = sizes.vec();
  one[0] = 1;
  std::vector<at::Tensor> parts;
  for (const at::Generator& generator : generators) {
    parts.push_back(draw(one, generator));
  }
  return at::cat(parts).to(device);
}

}  // namespace torch_hpu
