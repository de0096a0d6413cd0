// DPM-Solver and DPM-Solver++, multistep, of order 1 to 3; deterministic, or as solvers of the stochastic equation.
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

#include "csrc/diffusion/schedulers/linear_scheduler.h"
#include "csrc/diffusion/schedulers/solver_schedule.h"

namespace torch_hpu::diffusion {
namespace {

// The step is solved exactly but for the prediction's change over it: weights of the prediction, its first and its second difference.
struct Parts {
  double sample, value, first = 0, second = 0, noise = 0;
};

class DpmSolver final : public LinearScheduler {
 public:
  explicit DpmSolver(SchedulerSetup setup)
      : LinearScheduler(std::move(setup), setup.config.solver_order - 1, /*corrects=*/false,
                        /*converts_to_noise=*/!setup.config.algorithm_type.ends_with("++")),
        original_(config().algorithm_type.ends_with("++")),
        stochastic_(config().algorithm_type.starts_with("sde")),
        heun_(config().solver_type == "heun"),
        training_sigmas_(training_sigmas(alphas_cumprod())) {
    conversion_.clips = false;
  }

  bool needs_noise() const override {
    return stochastic_;
  }

 private:
  bool takes_timesteps() const override {
    return true;
  }

  Schedule make_schedule(int64_t steps, const std::vector<double>* given) const override {
    const bool own = config().use_karras_sigmas || config().use_exponential_sigmas || config().use_lu_lambdas;
    TORCH_CHECK_VALUE(!given || !own, "[", noun(), "] a list of timesteps does not go with use_karras_sigmas, use_exponential_sigmas or ",
                      "use_lu_lambdas");
    const std::vector<double> timesteps = given ? *given : spaced_timesteps(config(), steps, steps + 1, unclipped_timesteps());
    return make_solver_schedule(config(), training_sigmas_, timesteps, /*unipc=*/false);
  }

  // Those at which log(alpha / sigma) is not below lambda_min_clipped.
  int64_t unclipped_timesteps() const {
    int64_t count = config().num_train_timesteps;
    const float* alphas = alphas_cumprod().data_ptr<float>();
    const auto lambda = [&](int64_t t) { return torch_log(std::sqrt(alphas[t])) - torch_log(std::sqrt(1 - alphas[t])); };
    while (!std::isinf(config().lambda_min_clipped) && count > 1 && lambda(count - 1) < config().lambda_min_clipped) {
      --count;
    }
    return count;
  }

  int64_t order(int64_t i) const {
    const int64_t done = i - begin_index(), left = steps() - i;
    const bool few = config().lower_order_final && steps() < 15;
    const bool final_euler = left == 1 && (config().euler_at_final || few || config().final_sigmas_type == "zero");
    const int64_t most = final_euler ? 1 : left == 2 && few ? 2 : config().solver_order;
    return std::min({most, config().solver_order, done + 1});
  }

  LinearStep linear_step(int64_t i) const override {
    const Level to(sigmas()[i + 1]), from(sigmas()[i]);
    const float h = to.lambda() - from.lambda();
    const int64_t order = this->order(i);
    const Parts parts = original_ ? original_parts(to, from, h, order) : noise_parts(to, from, h, order);
    LinearStep step;
    step.alpha = from.alpha;
    step.sigma = from.sigma;
    step.sample = parts.sample;
    step.model = parts.value;
    step.noise = stochastic_ ? parts.noise : 0;
    if (order == 1) {
      return step;
    }
    // differences of the predictions, over the logarithmic signal to noise ratio
    const float before = from.lambda() - Level(sigmas()[i - 1]).lambda();
    const double r0 = before / h;
    if (order == 2) {
      step.model += parts.first / r0;
      step.history = {-parts.first / r0};
      return step;
    }
    const double r1 = (Level(sigmas()[i - 1]).lambda() - Level(sigmas()[i - 2]).lambda()) / h, reach = r0 / (r0 + r1), span = 1 / (r0 + r1);
    const double newer = parts.first * (1 + reach) + parts.second * span;  // of (m - h[0]) / r0
    const double older = -parts.first * reach - parts.second * span;       // of (h[0] - h[1]) / r1
    step.model += newer / r0;
    step.history = {-newer / r0 + older / r1, -older / r1};
    return step;
  }

  // The prediction is the sample without noise: exp(-h) goes into alpha. The second order of midpoint and heun, the third of its own.
  Parts original_parts(const Level& to, const Level& from, float h, int64_t order) const {
    const float decay = torch_exp(stochastic_ ? -2 * h : -h), change = 1 - decay, h_scaled = stochastic_ ? 2 * h : h;
    Parts parts;
    parts.sample = to.sigma / from.sigma * (stochastic_ ? torch_exp(-h) : 1);
    parts.value = to.alpha * change;
    parts.noise = to.sigma * std::sqrt(change);
    if (order == 2) {
      parts.first = heun_ ? to.alpha * (-change / h_scaled + 1) : 0.5 * (to.alpha * change);
    } else if (order == 3) {
      parts.first = to.alpha * (-change / h_scaled + 1);
      parts.second =
          stochastic_ ? to.alpha * ((change - h_scaled) / (h_scaled * h_scaled) - 0.5F) : -(to.alpha * ((-change + h) / (h * h) - 0.5F));
    }
    return parts;
  }

  // The prediction is the noise: exp(h) goes into sigma.
  Parts noise_parts(const Level& to, const Level& from, float h, int64_t order) const {
    const float change = torch_exp(h) - 1;
    const double factor = stochastic_ ? 2 : 1;
    Parts parts;
    parts.sample = to.alpha / from.alpha;
    parts.value = -factor * (to.sigma * change);
    parts.noise = to.sigma * std::sqrt(torch_exp(2 * h) - 1);
    if (order == 2) {
      parts.first = -factor * (heun_ ? to.sigma * (change / h - 1) : 0.5 * (to.sigma * change));
    } else if (order == 3) {
      parts.first = -(to.sigma * (change / h - 1));
      parts.second = -(to.sigma * ((change - h) / (h * h) - 0.5F));
    }
    return parts;
  }

  std::pair<float, float> noise_level(int64_t index) const override {
    const Level level(sigmas()[index]);
    return {level.alpha, level.sigma};
  }

  bool original_, stochastic_, heun_;
  std::vector<float> training_sigmas_;
};

}  // namespace

std::shared_ptr<DiffusionScheduler> make_dpm(SchedulerSetup setup) {
  SchedulerConfig& config = setup.config;
  config.algorithm_type = config.algorithm_type == "deis" ? "dpmsolver++" : config.algorithm_type;
  expect_value(setup, "algorithm_type", config.algorithm_type, {"dpmsolver++", "dpmsolver", "sde-dpmsolver", "sde-dpmsolver++"});
  expect_value(setup, "solver_type", config.solver_type, {"midpoint", "heun", "logrho", "bh1", "bh2"});
  config.solver_type = config.solver_type == "heun" ? "heun" : "midpoint";
  TORCH_CHECK_VALUE(config.variance_type.empty() || config.variance_type.starts_with("fixed"), "[", setup.class_name,
                    "] config field variance_type is not supported: got \"", config.variance_type, "\", expected null");
  TORCH_CHECK_VALUE(config.solver_order <= 3, "[", setup.class_name, "] solver_order must be 1, 2 or 3: got ", config.solver_order);
  TORCH_CHECK_VALUE(config.solver_order <= 2 || config.algorithm_type != "sde-dpmsolver", "[", setup.class_name,
                    "] solver_order must be 1 or 2 with the algorithm_type sde-dpmsolver: got ", config.solver_order);
  TORCH_CHECK_VALUE(config.final_sigmas_type != "zero" || config.algorithm_type.ends_with("++"), "[", setup.class_name,
                    "] final_sigmas_type must be sigma_min with the algorithm_type ", config.algorithm_type, ": got zero");
  return std::make_shared<DpmSolver>(std::move(setup));
}

}  // namespace torch_hpu::diffusion
