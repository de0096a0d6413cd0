// PNDM: Runge-Kutta steps, each of four calls of the model, then linear multistep ones; or, with skip_prk_steps, the multistep ones from the
// beginning, of which the second is done twice.
#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "csrc/diffusion/schedulers/conversion.h"
#include "csrc/diffusion/schedulers/noise_schedule.h"
#include "csrc/diffusion/schedulers/parts.h"

namespace torch_hpu::diffusion {
namespace {

// State: the predictions that count, newest first; the sum of those within a Runge-Kutta step; the sample that such a step started from.
enum : int64_t { kFirst, kSecond, kThird, kSum, kBase, kStateSize };
enum : int64_t { kAlpha = kFirstColumn, kSigma, kSample, kDirection, kWeights };  // kWeights: see Weights, in its order

struct Weights {
  // of this prediction, those of the state and their sum, in the direction that is taken
  double now = 1;
  std::array<double, 3> before{};
  double sum = 0;
  double remembers = 1;    // 1: this prediction becomes the newest of the state
  double keeps_sum = 0;    // the new sum: of the old one
  double adds_to_sum = 0;  // and of this prediction
  double from_base = 0;    // 1: the step starts from the state's sample
  double new_base = 0;     // 1: this sample becomes the state's
};

class Pndm final : public DiffusionScheduler {
 public:
  explicit Pndm(SchedulerSetup setup) : DiffusionScheduler(std::move(setup)), conversion_(config()) {}

 private:
  int64_t state_size() const override {
    return kStateSize;
  }

  Schedule make_schedule(int64_t steps, const std::vector<double>*) const override {
    constexpr int64_t kOrder = 4;
    TORCH_CHECK_VALUE(config().skip_prk_steps || steps >= kOrder, "[", noun(), "] without skip_prk_steps there must be ", kOrder,
                      " steps or more: got ", steps);
    const std::vector<double> times = spaced_timesteps(config(), steps, steps, config().num_train_timesteps);
    Schedule schedule;
    if (config().skip_prk_steps) {
      schedule.timesteps = times;
      if (times.size() > 1) {
        schedule.timesteps.insert(schedule.timesteps.begin() + 1, times[1]);
      }
      return schedule;
    }
    const auto half = static_cast<double>(config().num_train_timesteps / steps / 2);
    for (int64_t i = 0; i + 1 < kOrder; ++i) {  // at the beginning, twice in the middle, at the end of the interval
      schedule.timesteps.insert(schedule.timesteps.end(), {times[i], times[i + 1] + half, times[i + 1] + half, times[i + 1]});
    }
    schedule.timesteps.insert(schedule.timesteps.end(), times.begin() + kOrder - 1, times.end());
    return schedule;
  }

  int64_t interval() const {
    return config().num_train_timesteps / inference_steps();
  }

  // The prediction's place in a Runge-Kutta step: 0 to 3; 4: in none.
  int64_t stage(int64_t i) const {
    constexpr int64_t kRungeKuttaCalls = 12;
    const int64_t calls = i - begin_index();
    return config().skip_prk_steps || calls >= kRungeKuttaCalls ? 4 : calls % 4;
  }

  Weights weights(int64_t i) const {
    const int64_t calls = i - begin_index();
    if (const int64_t place = stage(i); place < 4) {
      const double share = place == 1 || place == 2 ? 1.0 / 3 : 1.0 / 6;
      Weights weights;
      weights.remembers = weights.new_base = place == 0;
      weights.from_base = place != 0;
      weights.keeps_sum = place == 1 || place == 2;
      weights.adds_to_sum = place == 3 ? 0 : share;
      weights.sum = place == 3;
      weights.now = place == 3 ? share : 1;
      return weights;
    }
    if (!config().skip_prk_steps) {
      return {55.0 / 24, {-59.0 / 24, 37.0 / 24, -9.0 / 24}};
    }
    switch (calls) {
      case 0:
        return {.new_base = 1};
      case 1:
        return {.now = 0.5, .before = {0.5}, .remembers = 0, .from_base = 1};
      case 2:
        return {1.5, {-0.5}};
      case 3:
        return {23.0 / 12, {-16.0 / 12, 5.0 / 12}};
      default:
        return {55.0 / 24, {-59.0 / 24, 37.0 / 24, -9.0 / 24}};
    }
  }

  // Where step i starts and ends.
  std::pair<int64_t, int64_t> interval_of(int64_t i) const {
    const int64_t calls = i - begin_index(), place = stage(i), t = timestep_at(i);
    if (place < 4) {
      return {timestep_at(calls - place), t - (calls % 2 ? 0 : interval() / 2)};
    }
    const bool again = config().skip_prk_steps && calls == 1;
    return again ? std::pair{t + interval(), t} : std::pair{t, t - interval()};
  }

  std::vector<float> coefficients(int64_t i) const override {
    const auto [from, to] = interval_of(i);
    const float alpha = alpha_cumprod(from), beta = 1 - alpha;
    const float previous = to >= 0 ? alpha_cumprod(to) : config().set_alpha_to_one ? 1 : alpha_cumprod(0);
    const float divisor = alpha * std::sqrt(1 - previous) + std::sqrt(alpha * beta * previous);
    const Weights w = weights(i);
    std::vector<float> row = {std::sqrt(alpha), std::sqrt(beta), std::sqrt(previous / alpha), -(previous - alpha) / divisor};
    for (const double weight :
         {w.now, w.before[0], w.before[1], w.before[2], w.sum, w.remembers, w.keeps_sum, w.adds_to_sum, w.from_base, w.new_base}) {
      row.push_back(static_cast<float>(weight));
    }
    return row;
  }

  Advanced compute(const at::Tensor& prediction, const at::Tensor& sample, const std::vector<at::Tensor>& state, const at::Tensor& row,
                   const at::Tensor&) const override {
    int64_t next_column = kWeights;
    const auto weight = [&] { return column(row, next_column++); };
    at::Tensor mixed = weight() * prediction;
    for (const int64_t part : {kFirst, kSecond, kThird, kSum}) {
      mixed = mixed + weight() * state[part];
    }
    const at::Tensor remembers = weight(), keeps_sum = weight(), adds_to_sum = weight(), from_base = weight(), new_base = weight();
    const auto choose = [](const at::Tensor& chosen, const at::Tensor& a, const at::Tensor& b) { return chosen * a + (1 - chosen) * b; };
    const at::Tensor start = choose(from_base, state[kBase], sample);
    const at::Tensor direction = conversion_.noise(mixed, start, column(row, kAlpha), column(row, kSigma));
    return {column(row, kSample) * start + column(row, kDirection) * direction,
            {},
            {choose(remembers, prediction, state[kFirst]), choose(remembers, state[kFirst], state[kSecond]),
             choose(remembers, state[kSecond], state[kThird]), keeps_sum * state[kSum] + adds_to_sum * prediction,
             choose(new_base, sample, state[kBase])}};
  }

  Conversion conversion_;
};

}  // namespace

std::shared_ptr<DiffusionScheduler> make_pndm(SchedulerSetup setup) {
  return std::make_shared<Pndm>(std::move(setup));
}

}  // namespace torch_hpu::diffusion
