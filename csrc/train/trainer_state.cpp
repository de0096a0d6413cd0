// Log dicts, the file of JSON lines, and trainer_state.json.
#include <torch_hpu/training_log.h>

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "csrc/train/files.h"
#include "csrc/train/json_text.h"

namespace torch_hpu {
namespace {

using Json = nlohmann::ordered_json;

// The fields of a state file, taken out one by one.
class Fields {
 public:
  Fields(Json json, std::string what) : json_(std::move(json)), what_(std::move(what)) {}

  // The field, or null if it is missing or null.
  Json take(const char* name) {
    const auto found = json_.find(name);
    if (found == json_.end()) {
      return nullptr;
    }
    Json value = *found;
    json_.erase(found);
    return value;
  }
  void number(const char* name, double& out) {
    const Json value = take(name);
    if (!value.is_null()) {
      check(value.is_number(), name, "a number", value);
      out = value.get<double>();
    }
  }
  void whole(const char* name, int64_t& out) {
    const Json value = take(name);
    if (!value.is_null()) {
      const double number = value.is_number() ? value.get<double>() : std::nan("");
      check(number == std::floor(number) && std::fabs(number) < 9.2e18, name, "a whole number", value);
      out = value.is_number_integer() ? value.get<int64_t>() : static_cast<int64_t>(number);
    }
  }
  void flag(const char* name, bool& out) {
    const Json value = take(name);
    if (!value.is_null()) {
      check(value.is_boolean(), name, "true or false", value);
      out = value.get<bool>();
    }
  }
  void text(const char* name, std::optional<std::string>& out) {
    const Json value = take(name);
    if (!value.is_null()) {
      check(value.is_string(), name, "a text", value);
      out = value.get<std::string>();
    }
  }
  template <typename T>
  void optional(const char* name, std::optional<T>& out, void (Fields::*read)(const char*, T&)) {
    if (json_.contains(name) && !json_[name].is_null()) {
      (this->*read)(name, out.emplace());
    }
  }
  void check(bool ok, const char* name, const char* expected, const Json& got) const {
    TORCH_CHECK(ok, what_, ": '", name, "': got ", train::dump_json(got), ", expected ", expected);
  }
  // Warns of what nobody has taken.
  void finish() const {
    for (const auto& [name, value] : json_.items()) {
      if (!value.is_null()) {
        TORCH_WARN(what_, ": the field '", name, "' is not known and is left out");
      }
    }
  }

 private:
  Json json_;
  std::string what_;
};

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace

Log::Log(std::initializer_list<Entry> entries) {
  for (const auto& [name, value] : entries) {
    set_value(name, value);
  }
}

void Log::set_value(const std::string& name, LogValue value) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.first == name; });
  if (found != entries_.end()) {
    found->second = std::move(value);
  } else {
    entries_.emplace_back(name, std::move(value));
  }
}

void Log::update(const Log& other) {
  for (const auto& [name, value] : other) {
    set_value(name, value);
  }
}

bool Log::erase(const std::string& name) {
  return std::erase_if(entries_, [&](const Entry& e) { return e.first == name; }) > 0;
}

bool Log::contains(const std::string& name) const {
  return find(name) != nullptr;
}

const LogValue* Log::find(const std::string& name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.first == name; });
  return found == entries_.end() ? nullptr : &found->second;
}

double Log::number(const std::string& name) const {
  const LogValue* value = find(name);
  TORCH_CHECK(value != nullptr, "[Log] there is no value '", name, "' in ", format_log(*this));
  if (const auto* number = std::get_if<double>(value)) {
    return *number;
  }
  if (const auto* whole = std::get_if<int64_t>(value)) {
    return static_cast<double>(*whole);
  }
  const auto* truth = std::get_if<bool>(value);
  TORCH_CHECK_TYPE(truth != nullptr, "[Log] the value '", name, "' is not a number: ", format_log(*this));
  return *truth;
}

std::string format_log(const Log& log) {
  struct Python {
    std::string operator()(std::monostate) const {
      return "None";
    }
    std::string operator()(bool value) const {
      return value ? "True" : "False";
    }
    std::string operator()(int64_t value) const {
      return std::to_string(value);
    }
    std::string operator()(double value) const {
      return train::python_float(value);
    }
    std::string operator()(const std::string& value) const {
      return train::python_repr(value);
    }
    std::string operator()(const LogJson& value) const {
      return value.text;
    }
  };
  std::string out = "{";
  for (const auto& [name, value] : log) {
    out += (out.size() > 1 ? ", " : "") + train::python_repr(name) + ": " + std::visit(Python(), value);
  }
  return out + "}";
}

std::string log_to_json(const Log& log) {
  return train::dump_json(train::to_json(log));
}

JsonLinesWriter::JsonLinesWriter(const std::string& path, bool append)
    : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644)) {
  TORCH_CHECK(file_ >= 0, "[JsonLinesWriter] cannot open ", path, ": ", std::strerror(errno));
}

JsonLinesWriter::~JsonLinesWriter() {
  ::close(file_);
}

void JsonLinesWriter::write(const Log& log) {
  TORCH_CHECK(train::write_all(file_, log_to_json(log) + "\n"), "[JsonLinesWriter] cannot write ", path_, ": ", std::strerror(errno));
}

void TrainerState::save_to_json(const std::string& path) const {
  Json logs = Json::array(), callbacks = Json::object();
  for (const Log& log : log_history) {
    logs.push_back(train::to_json(log));
  }
  for (const auto& [name, state] : stateful_callbacks) {
    callbacks[name] = train::parse_json(state, "[TrainerState] the state of the callback '" + name + "'");
  }
  const Json json = {{"epoch", epoch},
                     {"global_step", global_step},
                     {"max_steps", max_steps},
                     {"num_train_epochs", num_train_epochs},
                     {"logging_steps", logging_steps},
                     {"eval_steps", eval_steps},
                     {"save_steps", save_steps},
                     {"train_batch_size", or_null(train_batch_size)},
                     {"num_input_tokens_seen", num_input_tokens_seen},
                     {"total_flos", total_flos},
                     {"log_history", logs},
                     {"best_metric", or_null(best_metric)},
                     {"best_global_step", or_null(best_global_step)},
                     {"best_model_checkpoint", or_null(best_model_checkpoint)},
                     {"is_local_process_zero", is_local_process_zero},
                     {"is_world_process_zero", is_world_process_zero},
                     {"is_hyper_param_search", is_hyper_param_search},
                     {"trial_name", or_null(trial_name)},
                     {"trial_params", train::parse_json(trial_params, "[TrainerState] trial_params")},
                     {"stateful_callbacks", callbacks}};
  train::write_atomically(path, train::dump_json(json, 2, /*sort_keys=*/true) + "\n", "TrainerState");
}

TrainerState TrainerState::load_from_json(const std::string& path) {
  const std::string text = train::read_file(path, "TrainerState");
  const std::string what = "[TrainerState] " + path;
  const Json json = train::parse_json(text, what);
  TORCH_CHECK(json.is_object(), what, ": expected a JSON object");
  Fields fields(json, what);
  TrainerState state;
  fields.number("epoch", state.epoch);
  fields.whole("global_step", state.global_step);
  fields.whole("max_steps", state.max_steps);
  fields.whole("num_train_epochs", state.num_train_epochs);
  fields.whole("logging_steps", state.logging_steps);
  fields.whole("eval_steps", state.eval_steps);
  fields.whole("save_steps", state.save_steps);
  fields.optional("train_batch_size", state.train_batch_size, &Fields::whole);
  fields.whole("num_input_tokens_seen", state.num_input_tokens_seen);
  fields.number("total_flos", state.total_flos);
  fields.optional("best_metric", state.best_metric, &Fields::number);
  fields.optional("best_global_step", state.best_global_step, &Fields::whole);
  fields.text("best_model_checkpoint", state.best_model_checkpoint);
  fields.flag("is_local_process_zero", state.is_local_process_zero);
  fields.flag("is_world_process_zero", state.is_world_process_zero);
  fields.flag("is_hyper_param_search", state.is_hyper_param_search);
  fields.text("trial_name", state.trial_name);
  state.trial_params = train::dump_json(fields.take("trial_params"));
  if (const Json logs = fields.take("log_history"); !logs.is_null()) {
    fields.check(logs.is_array(), "log_history", "a list", logs);
    for (size_t i = 0; i < logs.size(); ++i) {
      state.log_history.push_back(train::log_from_json(logs[i], what + ": log_history[" + std::to_string(i) + "]"));
    }
  }
  if (const Json callbacks = fields.take("stateful_callbacks"); !callbacks.is_null()) {
    fields.check(callbacks.is_object(), "stateful_callbacks", "an object of names and states", callbacks);
    for (const auto& [name, value] : callbacks.items()) {
      state.stateful_callbacks[name] = train::dump_json(value);
    }
  }
  fields.finish();
  return state;
}

}  // namespace torch_hpu
