#include <torch_hpu/training_arguments.h>

#include <c10/util/Exception.h>
#include <torch_hpu/device.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "csrc/train/argument_table.h"
#include "csrc/train/files.h"
#include "csrc/train/json_text.h"

namespace torch_hpu {
namespace {

using Json = nlohmann::ordered_json;
using train::ArgumentRow;
constexpr const char* kNoun = "GaudiTrainingArguments";

template <typename T>
struct Kind;
template <>
struct Kind<bool> {
  static constexpr const char* name = "true or false";
  static bool is(const Json& j) {
    return j.is_boolean();
  }
};
template <>
struct Kind<int64_t> {
  static constexpr const char* name = "a whole number";
  static bool is(const Json& j) {
    return j.is_number_integer();
  }
};
template <>
struct Kind<double> {
  static constexpr const char* name = "a number";
  static bool is(const Json& j) {
    return j.is_number();
  }
};
template <>
struct Kind<std::string> {
  static constexpr const char* name = "a text";
  static bool is(const Json& j) {
    return j.is_string();
  }
};

template <typename T>
void read(const Json& json, const char* name, T& value) {
  TORCH_CHECK(Kind<T>::is(json), "[", kNoun, "] ", name, ": got ", json.dump(), ", expected ", Kind<T>::name);
  value = json.get<T>();
}
template <typename T>
void read(const Json& json, const char* name, std::optional<T>& value) {
  if (json.is_null()) {
    value.reset();
    return;
  }
  T read_value;
  read(json, name, read_value);
  value = std::move(read_value);
}
void read(const Json& json, const char* name, std::map<std::string, double>& value) {
  TORCH_CHECK(json.is_object(), "[", kNoun, "] ", name, ": got ", json.dump(), ", expected an object of numbers");
  value.clear();
  for (const auto& [key, number] : json.items()) {
    read(number, (name + ("." + key)).c_str(), value[key]);
  }
}

template <typename T>
Json written(const T& value) {
  return value;
}
template <typename T>
Json written(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

// A word of the command line as JSON of the member's kind, so that both ways in have one check.
template <typename T>
Json from_word(const std::string& word, const T&) {
  if constexpr (std::is_same_v<T, std::string>) {
    return word;
  } else if constexpr (std::is_same_v<T, std::optional<std::string>>) {
    return word.empty() || word == "None" ? Json(nullptr) : Json(word);
  } else {
    std::string lower = word;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (lower == "none") {
      return nullptr;
    }
    if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::optional<bool>>) {
      const bool yes = lower.empty() || lower == "true" || lower == "1" || lower == "yes",
                 no = lower == "false" || lower == "0" || lower == "no";
      return yes || no ? Json(yes) : Json(word);
    } else {
      const Json json = Json::parse(word, nullptr, /*allow_exceptions=*/false);
      return json.is_discarded() ? Json(word) : json;
    }
  }
}

bool one_of(const std::string& value, std::initializer_list<const char*> values) {
  return std::any_of(values.begin(), values.end(), [&](const char* v) { return value == v; });
}

void check_choice(const char* name, const std::string& value, std::initializer_list<const char*> values) {
  std::string list;
  for (const char* v : values) {
    list += (list.empty() ? "" : ", ") + std::string(v);
  }
  TORCH_CHECK_VALUE(one_of(value, values), "[", kNoun, "] ", name, ": got '", value, "', expected one of ", list);
}

void check_range(const char* name, double value, double low, double high, const char* expected) {
  TORCH_CHECK_VALUE(value >= low && value <= high, "[", kNoun, "] ", name, ": got ", train::python_float(value), ", expected ", expected);
}

constexpr double kMany = 1e15;

void check_steps(const char* name, double value) {
  TORCH_CHECK_VALUE(value > 0 && value < kMany && (value < 1 || value == std::floor(value)), "[", kNoun, "] ", name, ": got ",
                    train::python_float(value), ", expected a whole number of steps, or a share of all steps between 0 and 1");
}

}  // namespace

void GaudiTrainingArguments::update_from_json(const std::string& text) {
  const Json json = train::parse_json(text, std::string("[") + kNoun + "]");
  TORCH_CHECK(json.is_object(), "[", kNoun, "] expected a JSON object");
  GaudiTrainingArguments changed = *this;  // all fields, or none
  for (const auto& [name, value] : json.items()) {
    const auto& rows = train::argument_rows();
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const ArgumentRow& r) { return name == r.name; });
    if (row != rows.end()) {
      std::visit([&](auto member) { read(value, row->name, changed.*member); }, row->member);
      continue;
    }
    const auto& refused = train::refused_arguments();
    const auto known = std::find_if(refused.begin(), refused.end(), [&](const auto& r) { return name == r.name; });
    if (known != refused.end()) {
      const bool off = value.is_null() || value == false || value == "" || value == 0 || (name == "context_parallel_size" && value == 1);
      TORCH_CHECK(off, "[", kNoun, "] ", name, " is not supported: ", known->reason);
      continue;
    }
    const std::string nearest = train::nearest_argument(name);
    TORCH_CHECK(false, "[", kNoun, "] unknown argument '", name, "'", nearest.empty() ? "" : "; did you mean '" + nearest + "'?");
  }
  *this = std::move(changed);
}

std::string GaudiTrainingArguments::to_json() const {
  Json json = Json::object();
  for (const ArgumentRow& row : train::argument_rows()) {
    json[row.name] = std::visit([&](auto member) { return written(this->*member); }, row.member);
  }
  return train::dump_json(json, 2);
}

void GaudiTrainingArguments::add_options(CLI::App& app) {
  for (const ArgumentRow& row : train::argument_rows()) {
    std::visit(
        [&](auto member) {
          using T = std::remove_reference_t<decltype(this->*member)>;
          const auto set = [this, member, name = row.name](const Json& value) {
            try {
              read(value, name, this->*member);
            } catch (const c10::Error& e) {
              throw CLI::ValidationError("--" + std::string(name), e.what_without_backtrace());
            }
          };
          const std::string option = "--" + std::string(row.name);
          CLI::Option* added =
              app.add_option_function<std::string>(option, [set](const std::string& word) { set(from_word(word, T{})); }, row.help);
          added->option_text(written(this->*member).dump())->group("Training");
          if constexpr (std::is_same_v<T, bool>) {
            added->expected(0, 1);
            app.add_flag_callback("--no_" + std::string(row.name), [set] { set(false); })->group("");
          }
        },
        row.member);
  }
}

void GaudiTrainingArguments::save(const std::string& path) const {
  train::write_atomically(path, to_json() + "\n", kNoun);
}

GaudiTrainingArguments GaudiTrainingArguments::load(const std::string& path) {
  GaudiTrainingArguments arguments;
  const std::string text = train::read_file(path, kNoun);
  try {
    arguments.update_from_json(text);
    arguments.validate();
  } catch (const c10::Error& e) {
    TORCH_CHECK(false, e.what_without_backtrace(), " (in ", path, ")");
  }
  return arguments;
}

void GaudiTrainingArguments::validate() const {
  const auto error = [](const auto&... words) { TORCH_CHECK_VALUE(false, "[", kNoun, "] ", words...); };
  const bool any_graph = use_hpu_graphs || uses_hpu_graphs();
  if (!use_habana) {
    if (use_lazy_mode || any_graph || gaudi_config_name) {
      error(use_lazy_mode ? "use_lazy_mode"
            : any_graph   ? "use_hpu_graphs"
                          : "gaudi_config_name",
            " was set, but use_habana is not: set use_habana=True, or use_cpu=True and use_lazy_mode=False to train on the CPU");
    }
    if (!use_cpu) {
      error("no device has been set: set use_habana=True to train on hpu, or use_cpu=True");
    }
  } else if (use_cpu) {
    error("use_habana and use_cpu were both set, expected one of them");
  }
  if (any_graph && !use_lazy_mode) {
    error("HPU Graphs need lazy mode: set use_lazy_mode=True");
  }
  check_choice("distribution_strategy", distribution_strategy, {"ddp", "fast_ddp"});
  check_range("ddp_bucket_cap_mb", static_cast<double>(ddp_bucket_cap_mb), 1, kMany, "1 or more");
  check_range("ddp_timeout", static_cast<double>(ddp_timeout), 1, kMany, "1 second or more");
  if ((disable_tensor_cache_hpu_graphs || max_hpu_graphs) && !any_graph) {
    error(max_hpu_graphs ? "max_hpu_graphs" : "disable_tensor_cache_hpu_graphs",
          " was set, but neither use_hpu_graphs_for_inference nor use_hpu_graphs_for_training");
  }
  if (max_hpu_graphs) {
    check_range("max_hpu_graphs", static_cast<double>(*max_hpu_graphs), 1, kMany, "1 or more");
  }
  check_range("throughput_warmup_steps", static_cast<double>(throughput_warmup_steps), 0, kMany, "0 or more");
  if (output_dir.empty()) {
    error("output_dir is empty, expected a folder");
  }
  check_range("num_train_epochs", num_train_epochs, 0, kMany, "0 or more");
  TORCH_CHECK_VALUE(max_steps == -1 || max_steps > 0, "[", kNoun, "] max_steps: got ", max_steps, ", expected 1 or more, or -1 for none");
  for (const auto& [name, value] : {std::pair{"per_device_train_batch_size", per_device_train_batch_size},
                                    std::pair{"per_device_eval_batch_size", per_device_eval_batch_size},
                                    std::pair{"gradient_accumulation_steps", gradient_accumulation_steps}}) {
    check_range(name, static_cast<double>(value), 1, kMany, "1 or more");
  }
  if (eval_accumulation_steps) {
    check_range("eval_accumulation_steps", static_cast<double>(*eval_accumulation_steps), 1, kMany, "1 or more");
  }
  check_range("learning_rate", learning_rate, 0, kMany, "0 or more");
  check_range("weight_decay", weight_decay, 0, kMany, "0 or more");
  for (const auto& [name, value] : {std::pair{"adam_beta1", adam_beta1}, std::pair{"adam_beta2", adam_beta2}}) {
    TORCH_CHECK_VALUE(value >= 0 && value < 1, "[", kNoun, "] ", name, ": got ", train::python_float(value),
                      ", expected 0 or more and below 1");
  }
  check_range("adam_epsilon", adam_epsilon, 0, kMany, "0 or more");
  check_range("max_grad_norm", max_grad_norm, 0, kMany, "0 or more (0: no clipping)");
  check_choice("optim", optim, {"adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop"});
  check_choice("lr_scheduler_type", lr_scheduler_type,
               {"linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
                "reduce_lr_on_plateau"});
  check_range("warmup_ratio", warmup_ratio, 0, 1, "a number between 0 and 1");
  check_range("warmup_steps", static_cast<double>(warmup_steps), 0, kMany, "0 or more");
  TORCH_CHECK_VALUE(label_smoothing_factor >= 0 && label_smoothing_factor < 1, "[", kNoun, "] label_smoothing_factor: got ",
                    train::python_float(label_smoothing_factor), ", expected 0 or more and below 1");
  check_choice("logging_strategy", logging_strategy, {"no", "steps", "epoch"});
  check_choice("eval_strategy", eval_strategy, {"no", "steps", "epoch"});
  check_choice("save_strategy", save_strategy, {"no", "steps", "epoch", "best"});
  check_choice("report_to", report_to, {"none", "tensorboard"});
  if (logging_strategy == "steps") {
    check_steps("logging_steps", logging_steps);
  }
  if (eval_strategy == "steps") {
    check_steps("eval_steps", eval_steps.value_or(logging_steps));
  }
  if (save_strategy == "steps") {
    check_steps("save_steps", save_steps);
  }
  check_range("eval_delay", eval_delay, 0, kMany, "0 or more");
  if (save_total_limit) {
    check_range("save_total_limit", static_cast<double>(*save_total_limit), 1, kMany, "1 or more");
  }
  if (load_best_model_at_end && save_strategy != "best") {
    if (eval_strategy == "no" || eval_strategy != save_strategy) {
      error("load_best_model_at_end needs the same strategy for evaluation and saving: got eval_strategy '", eval_strategy,
            "' and save_strategy '", save_strategy, "'");
    }
    if (eval_strategy == "steps") {
      const double evaluation = eval_steps.value_or(logging_steps), ratio = save_steps / evaluation;
      if (std::abs(ratio - std::round(ratio)) > 1e-9 || ratio < 1 - 1e-9) {
        error("load_best_model_at_end needs save_steps to be a multiple of eval_steps: got save_steps ", train::python_float(save_steps),
              " and eval_steps ", train::python_float(evaluation));
      }
    }
  }
  if (save_strategy == "best" && eval_strategy == "no") {
    error("save_strategy 'best' needs evaluations: set eval_strategy");
  }
  if (lr_scheduler_type == "reduce_lr_on_plateau" && eval_strategy == "no") {
    error("lr_scheduler_type 'reduce_lr_on_plateau' needs evaluations: set eval_strategy");
  }
  check_range("seed", static_cast<double>(seed), 0, 1.8e19, "0 or more");
  check_range("dataloader_num_workers", static_cast<double>(dataloader_num_workers), 0, 1024, "0 to 1024");
  if (dataloader_prefetch_factor) {
    check_range("dataloader_prefetch_factor", static_cast<double>(*dataloader_prefetch_factor), 1, kMany, "1 or more");
    if (dataloader_num_workers == 0) {
      error("dataloader_prefetch_factor was set, but dataloader_num_workers is 0: nothing loads ahead");
    }
  }
  if (report_to == "none" && logging_dir) {
    error("logging_dir was set, but report_to is 'none': set report_to to 'tensorboard'");
  }
}

c10::Device GaudiTrainingArguments::device() const {
  return use_habana ? kDevice : c10::Device(c10::kCPU);
}

bool GaudiTrainingArguments::uses_hpu_graphs() const {
  return use_hpu_graphs || use_hpu_graphs_for_inference || use_hpu_graphs_for_training;
}

int64_t GaudiTrainingArguments::steps(double value, int64_t max) const {
  return value < 1 ? std::max<int64_t>(1, static_cast<int64_t>(std::ceil(static_cast<double>(max) * value))) : static_cast<int64_t>(value);
}

int64_t GaudiTrainingArguments::warmup_steps_of(int64_t max) const {
  return warmup_steps > 0 ? warmup_steps : static_cast<int64_t>(std::ceil(static_cast<double>(max) * warmup_ratio));
}

std::string GaudiTrainingArguments::best_metric() const {
  const std::string metric = metric_for_best_model.value_or("loss");
  return metric.rfind("eval_", 0) == 0 ? metric : "eval_" + metric;
}

bool GaudiTrainingArguments::best_is_greatest() const {
  return greater_is_better.value_or(!best_metric().ends_with("loss"));
}

}  // namespace torch_hpu
