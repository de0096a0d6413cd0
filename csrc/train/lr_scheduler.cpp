#include <torch_hpu/lr_scheduler.h>

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <tuple>

#include "csrc/train/json_text.h"

namespace torch_hpu {
namespace {

using Json = nlohmann::ordered_json;

const std::map<std::string, std::set<std::string>>& arguments_of() {
  static const std::map<std::string, std::set<std::string>> table = {
      {"linear", {}},
      {"cosine", {"num_cycles"}},
      {"cosine_with_restarts", {"num_cycles"}},
      {"polynomial", {"lr_end", "power"}},
      {"constant", {}},
      {"constant_with_warmup", {}},
      {"inverse_sqrt", {"timescale"}},
      {"reduce_lr_on_plateau", {"factor", "patience", "threshold", "cooldown", "min_lr", "eps", "greater"}},
  };
  return table;
}

std::string listed(const auto& names) {
  std::string text;
  for (const auto& name : names) {
    text += (text.empty() ? "" : ", ") + name;
  }
  return text.empty() ? "none" : text;
}

}  // namespace

LRScheduler::LRScheduler(LRSchedulerOptions options, std::vector<double> base_lrs)
    : options_(std::move(options)), base_(std::move(base_lrs)), lrs_(base_) {
  const auto known = arguments_of().find(options_.type);
  if (known == arguments_of().end()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : arguments_of()) {
      names.push_back(name);
    }
    TORCH_CHECK_VALUE(false, "[LRScheduler] type: got '", options_.type, "', expected one of ", listed(names));
  }
  for (const auto& [name, value] : options_.kwargs) {
    TORCH_CHECK_VALUE(known->second.count(name) == 1, "[LRScheduler] ", options_.type, " has no argument '", name,
                      "'; its arguments: ", listed(known->second));
  }
  TORCH_CHECK_VALUE(options_.warmup_steps >= 0 && options_.training_steps >= 0, "[LRScheduler] got ", options_.warmup_steps,
                    " warm-up steps and ", options_.training_steps, " training steps, expected 0 or more");
  if (options_.type == "polynomial") {
    for (double lr : base_) {
      TORCH_CHECK_VALUE(lr > argument("lr_end", 1e-7), "[LRScheduler] polynomial: lr_end ", argument("lr_end", 1e-7),
                        " must be below the learning rate ", lr);
    }
  }
  if (wants_metric()) {
    TORCH_CHECK_VALUE(argument("factor", 0.1) < 1, "[LRScheduler] reduce_lr_on_plateau: got factor ", argument("factor", 0.1),
                      ", expected a number below 1");
  }
  set_lrs();
}

double LRScheduler::argument(const char* name, double otherwise) const {
  const auto it = options_.kwargs.find(name);
  return it == options_.kwargs.end() ? otherwise : it->second;
}

double LRScheduler::factor(int64_t step, double base) const {
  const std::string& type = options_.type;
  if (type == "constant" || wants_metric()) {
    return 1;
  }
  const auto s = static_cast<double>(step), warm = static_cast<double>(options_.warmup_steps),
             total = static_cast<double>(options_.training_steps);
  if (s < warm) {
    return s / std::max(1.0, warm);
  }
  if (type == "constant_with_warmup") {
    return 1;
  }
  if (type == "inverse_sqrt") {
    const double timescale = argument("timescale", warm > 0 ? warm : 10000);
    return 1 / std::sqrt((s + timescale - warm) / timescale);
  }
  if (type == "linear") {
    return std::max(0.0, (total - s) / std::max(1.0, total - warm));
  }
  if (type == "polynomial") {
    const double end = argument("lr_end", 1e-7);
    if (s > total) {
      return end / base;
    }
    const double left = 1 - (s - warm) / std::max(1.0, total - warm);
    return ((base - end) * std::pow(left, argument("power", 1)) + end) / base;
  }
  const double progress = (s - warm) / std::max(1.0, total - warm);
  if (type == "cosine") {
    return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * argument("num_cycles", 0.5) * 2 * progress)));
  }
  if (progress >= 1) {
    return 0;
  }
  return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * std::fmod(argument("num_cycles", 1) * progress, 1.0))));
}

void LRScheduler::set_lrs() {
  for (size_t i = 0; i < base_.size(); ++i) {
    lrs_[i] = base_[i] * factor(steps_, base_[i]);
  }
}

void LRScheduler::step() {
  ++steps_;
  if (!wants_metric()) {
    set_lrs();
  }
}

void LRScheduler::step(double metric) {
  TORCH_CHECK(wants_metric(), "[LRScheduler] ", options_.type, " takes no metric");
  const bool greater = argument("greater", 0) != 0;
  const double threshold = argument("threshold", 1e-4);
  const bool better = !best_ || (greater ? metric > *best_ * (1 + threshold) : metric < *best_ * (1 - threshold));
  if (better) {
    best_ = metric;
    bad_evaluations_ = 0;
  } else {
    ++bad_evaluations_;
  }
  if (cooldown_ > 0) {
    --cooldown_;
    bad_evaluations_ = 0;
  }
  if (static_cast<double>(bad_evaluations_) > argument("patience", 10)) {
    for (double& lr : lrs_) {
      const double reduced = std::max(lr * argument("factor", 0.1), argument("min_lr", 0));
      if (lr - reduced > argument("eps", 1e-8)) {
        lr = reduced;
      }
    }
    cooldown_ = static_cast<int64_t>(argument("cooldown", 0));
    bad_evaluations_ = 0;
  }
}

std::string LRScheduler::state() const {
  Json json{{"type", options_.type}, {"last_epoch", steps_}, {"base_lrs", base_}, {"_last_lr", lrs_}};
  if (wants_metric()) {
    json["best"] = best_ ? Json(*best_) : Json(nullptr);
    json["num_bad_epochs"] = bad_evaluations_;
    json["cooldown_counter"] = cooldown_;
  }
  return train::dump_json(json);
}

void LRScheduler::load_state(const std::string& text) {
  const Json json = train::parse_json(text, "[LRScheduler] state");
  const std::string what = "[LRScheduler] the state";
  TORCH_CHECK(json.is_object(), what, " is no JSON object");
  const auto type = train::json_field<std::string>(json, "type", what);
  TORCH_CHECK(type == options_.type, what, " is of a schedule '", type, "', expected '", options_.type, "'");
  const auto lrs = train::json_field<std::vector<double>>(json, "_last_lr", what);
  TORCH_CHECK(lrs.size() == lrs_.size(), "[LRScheduler] the state has ", lrs.size(), " groups, expected ", lrs_.size());
  const auto steps = train::json_field<int64_t>(json, "last_epoch", what);
  if (!wants_metric()) {
    steps_ = steps;
    set_lrs();
    return;
  }
  const bool none = json.contains("best") && json["best"].is_null();
  const auto best = none ? std::nullopt : std::optional<double>(train::json_field<double>(json, "best", what));
  const auto bad = train::json_field<int64_t>(json, "num_bad_epochs", what),
             cooldown = train::json_field<int64_t>(json, "cooldown_counter", what);
  std::tie(steps_, lrs_, best_, bad_evaluations_, cooldown_) = std::tuple(steps, lrs, best, bad, cooldown);
}

}  // namespace torch_hpu
