// Learning-rate schedules, with the formulas and arguments of transformers' get_scheduler().
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct LRSchedulerOptions {
  // linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup, inverse_sqrt, reduce_lr_on_plateau
  std::string type = "linear";
  int64_t warmup_steps = 0;    // the rate rises from 0
  int64_t training_steps = 0;  // the rate has fallen to its end
  // cosine: num_cycles (0.5). cosine_with_restarts: num_cycles (1). polynomial: lr_end (1e-7), power (1). inverse_sqrt: timescale (warmup_steps,
  // or 10,000). reduce_lr_on_plateau: factor (0.1), patience (10), threshold (1e-4, relative), cooldown (0), min_lr (0), eps (1e-8); greater (0):
  // 1 when a greater metric is better. Others are refused.
  std::map<std::string, double> kwargs;
};

// The learning rates of an optimizer's groups, step by step. It does not hold the optimizer: who owns that sets the rates.
class TORCH_HPU_API LRScheduler {
 public:
  // base_lrs: the peak rate of each group, above 0 for polynomial.
  LRScheduler(LRSchedulerOptions options, std::vector<double> base_lrs);

  // The rates for the step at hand; before the first step() those of step 0.
  const std::vector<double>& lrs() const {
    return lrs_;
  }
  // After an optimizer step. reduce_lr_on_plateau does nothing here.
  void step();
  // reduce_lr_on_plateau: after an evaluation, with its metric.
  void step(double metric);
  bool wants_metric() const {
    return options_.type == "reduce_lr_on_plateau";
  }

  // JSON; load_state() throws when it was saved by another schedule.
  std::string state() const;
  void load_state(const std::string& json);

 private:
  double argument(const char* name, double otherwise) const;
  double factor(int64_t step, double base) const;
  void set_lrs();

  LRSchedulerOptions options_;
  std::vector<double> base_, lrs_;
  int64_t steps_ = 0;
  // reduce_lr_on_plateau
  std::optional<double> best_;
  int64_t bad_evaluations_ = 0, cooldown_ = 0;
};

}  // namespace torch_hpu
