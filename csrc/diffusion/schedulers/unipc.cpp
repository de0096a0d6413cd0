// UniPC: a multistep predictor, and a corrector that uses the next prediction to improve the sample that it was made for.
#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

#include "csrc/diffusion/schedulers/linear_scheduler.h"
#include "csrc/diffusion/schedulers/solver_schedule.h"

namespace torch_hpu::diffusion {
namespace {

// x_to = sample * x_from + newest * m + sum(older * h) + (the corrector's) arrived * (the prediction at x_to)
struct Solution {
  double sample = 0, newest = 0, arrived = 0;
  std::vector<double> older;
};

class UniPc final : public LinearScheduler {
 public:
  explicit UniPc(SchedulerSetup setup)
      : LinearScheduler(std::move(setup), setup.config.solver_order, /*corrects=*/true, /*converts_to_noise=*/!setup.config.predict_x0),
        training_sigmas_(training_sigmas(alphas_cumprod())) {
    conversion_.clips = false;
    conversion_.thresholds &= config().predict_x0;
  }

 private:
  Schedule make_schedule(int64_t steps, const std::vector<double>*) const override {
    const std::vector<double> timesteps = spaced_timesteps(config(), steps, steps + 1, config().num_train_timesteps);
    return make_solver_schedule(config(), training_sigmas_, timesteps, /*unipc=*/true);
  }

  int64_t order(int64_t i) const {
    const int64_t most = config().lower_order_final ? std::min(config().solver_order, steps() - i) : config().solver_order;
    return std::min(most, i - begin_index() + 1);
  }

  bool corrects(int64_t i) const {
    const auto& disabled = config().disable_corrector;
    return i > begin_index() && std::find(disabled.begin(), disabled.end(), i - 1) == disabled.end();
  }

  LinearStep linear_step(int64_t i) const override {
    const Level now(sigmas()[i]);
    const Solution next = solve(i, order(i), /*corrector=*/false);
    LinearStep step;
    step.alpha = now.alpha;
    step.sigma = now.sigma;
    step.sample = next.sample;
    step.model = next.newest;
    step.history = next.older;
    if (corrects(i)) {
      const Solution corrected = solve(i - 1, order(i - 1), /*corrector=*/true);
      step.keep = 0;
      step.last = corrected.sample;
      step.corrected_model = corrected.arrived;
      step.corrected_history = {corrected.newest};
      step.corrected_history.insert(step.corrected_history.end(), corrected.older.begin(), corrected.older.end());
    }
    return step;
  }

  // From step i's sample to the next one's. In float, as diffusers computes it: of the small differences in here only the same rounding gives
  // the same numbers.
  Solution solve(int64_t i, int64_t order, bool corrector) const {
    const Level to(sigmas()[i + 1]), from(sigmas()[i]);
    const bool original = config().predict_x0;
    const float h = to.lambda() - from.lambda(), signed_h = original ? -h : h, growth = torch_expm1(signed_h);
    const float scale = original ? to.alpha : to.sigma, b_h = config().solver_type == "bh1" ? signed_h : growth;
    Solution solution;
    solution.sample = original ? to.sigma / from.sigma : to.alpha / from.alpha;
    solution.newest = -(scale * growth);
    std::vector<float> distances;  // of older predictions, in steps
    for (int64_t k = 1; k < order; ++k) {
      distances.push_back((Level(sigmas()[i - k]).lambda() - from.lambda()) / h);
    }
    if (order == 1 && !corrector) {
      return solution;
    }
    const std::vector<float> weights = difference_weights(distances, signed_h, growth, b_h, order, corrector);
    const double factor = -static_cast<double>(scale) * b_h;
    for (size_t k = 0; k < distances.size(); ++k) {
      const double weight = factor * weights[k] / distances[k];
      solution.older.push_back(weight);
      solution.newest -= weight;
    }
    if (corrector) {
      solution.arrived = factor * weights.back();
      solution.newest -= solution.arrived;
    }
    return solution;
  }

  // Of the differences to older predictions, and for the corrector to the one that arrived: those that are exact for polynomials.
  static std::vector<float> difference_weights(std::vector<float> distances, float h, float growth, float b_h, int64_t order,
                                               bool corrector) {
    if (order == (corrector ? 1 : 2)) {
      return {0.5F};
    }
    distances.push_back(1);
    const at::Tensor points = at::tensor(distances, at::kFloat);
    std::vector<at::Tensor> powers;
    std::vector<float> moments;
    float phi = growth / h - 1, factorial = 1;
    for (int64_t k = 1; k <= order; ++k) {
      powers.push_back(points.pow(k - 1));
      moments.push_back(phi * factorial / b_h);
      factorial *= static_cast<float>(k + 1);
      phi = phi / h - 1 / factorial;
    }
    const int64_t count = corrector ? order : order - 1;
    const at::Tensor matrix = at::stack(powers).slice(0, 0, count).slice(1, 0, count);
    const at::Tensor solved = at::linalg_solve(matrix, at::tensor(moments, at::kFloat).slice(0, 0, count)).contiguous();
    return {solved.data_ptr<float>(), solved.data_ptr<float>() + count};
  }

  std::pair<float, float> noise_level(int64_t index) const override {
    const Level level(sigmas()[index]);
    return {level.alpha, level.sigma};
  }

  std::vector<float> training_sigmas_;
};

}  // namespace

std::shared_ptr<DiffusionScheduler> make_unipc(SchedulerSetup setup) {
  expect_value(setup, "solver_type", setup.config.solver_type, {"bh1", "bh2", "midpoint", "heun", "logrho"});
  setup.config.solver_type = setup.config.solver_type == "bh1" ? "bh1" : "bh2";
  return std::make_shared<UniPc>(std::move(setup));
}

}  // namespace torch_hpu::diffusion
