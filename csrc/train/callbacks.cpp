#include <c10/util/Exception.h>
#include <torch_hpu/trainer.h>

#include <cmath>

#include "csrc/train/json_text.h"

namespace torch_hpu {

TrainerCallback::~TrainerCallback() = default;
std::string TrainerCallback::name() const {
  return "";
}
std::string TrainerCallback::state() const {
  return "{}";
}
void TrainerCallback::load_state(const std::string&) {}

EarlyStoppingCallback::EarlyStoppingCallback(int64_t patience, double threshold) : patience_(patience), threshold_(threshold) {
  TORCH_CHECK_VALUE(patience >= 1 && threshold >= 0, "[EarlyStoppingCallback] got patience ", patience, " and threshold ", threshold,
                    ", expected 1 or more and 0 or more");
}

void EarlyStoppingCallback::on_train_begin(const GaudiTrainingArguments& args, TrainerState&, TrainerControl&) {
  TORCH_CHECK(args.eval_strategy != "no", "[EarlyStoppingCallback] needs evaluations: set eval_strategy");
  TORCH_CHECK(args.load_best_model_at_end, "[EarlyStoppingCallback] needs load_best_model_at_end");
}

void EarlyStoppingCallback::on_evaluate(const GaudiTrainingArguments& args, TrainerState& state, TrainerControl& control,
                                        const Log& metrics) {
  const double metric = metrics.number(args.best_metric());
  const bool improved = !state.best_metric || ((args.best_is_greatest() ? metric > *state.best_metric : metric < *state.best_metric) &&
                                               std::abs(metric - *state.best_metric) > threshold_);
  waited_ = improved ? 0 : waited_ + 1;
  if (waited_ >= patience_) {
    control.should_training_stop = true;
  }
}

std::string EarlyStoppingCallback::name() const {
  return "EarlyStoppingCallback";
}

std::string EarlyStoppingCallback::state() const {
  return train::dump_json({{"args", {{"early_stopping_patience", patience_}, {"early_stopping_threshold", threshold_}}},
                           {"attributes", {{"early_stopping_patience_counter", waited_}}}});
}

void EarlyStoppingCallback::load_state(const std::string& json) {
  const auto state = train::parse_json(json, "[EarlyStoppingCallback] the state");
  TORCH_CHECK(state.is_object() && state.contains("attributes"), "[EarlyStoppingCallback] the state has no 'attributes'");
  waited_ = train::json_field<int64_t>(state["attributes"], "early_stopping_patience_counter", "[EarlyStoppingCallback] the state");
}

}  // namespace torch_hpu
