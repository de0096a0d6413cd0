// What a training run tells: log dicts, a progress bar, JSON lines, TensorBoard's event files, and trainer_state.json as transformers has it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

// A list or a dict, as JSON.
struct LogJson {
  explicit LogJson(std::string json) : text(std::move(json)) {}
  std::string text;
  bool operator==(const LogJson&) const = default;
};

// None, True or False, a whole number, a float, a text, or more than that.
using LogValue = std::variant<std::monostate, bool, int64_t, double, std::string, LogJson>;

// Names and values in the order in which they were set, as a Python dict: {"loss", 0.5717}, {"step", 10}.
class TORCH_HPU_API Log {
 public:
  using Entry = std::pair<std::string, LogValue>;
  Log() = default;
  Log(std::initializer_list<Entry> entries);

  // A name that is there keeps its place.
  template <typename T>
  void set(const std::string& name, T&& value) {
    using V = std::decay_t<T>;
    if constexpr (std::is_integral_v<V> && !std::is_same_v<V, bool>) {
      set_value(name, static_cast<int64_t>(value));
    } else if constexpr (std::is_floating_point_v<V>) {
      set_value(name, static_cast<double>(value));
    } else {
      set_value(name, LogValue(std::forward<T>(value)));
    }
  }
  void update(const Log& other);  // sets all of its values
  bool erase(const std::string& name);
  bool contains(const std::string& name) const;
  const LogValue* find(const std::string& name) const;  // null if it is not there
  double number(const std::string& name) const;         // throws if it is not there or is neither a number nor a truth value

  size_t size() const {
    return entries_.size();
  }
  auto begin() const {
    return entries_.begin();
  }
  auto end() const {
    return entries_.end();
  }
  bool operator==(const Log&) const = default;

 private:
  void set_value(const std::string& name, LogValue value);
  std::vector<Entry> entries_;
};

// The log as Python prints a dict: {'loss': 0.5717, 'learning_rate': 4.642857142857143e-05, 'epoch': 1.0}. Floats are the shortest text that
// reads back as the same number; nan and inf as Python's.
TORCH_HPU_API std::string format_log(const Log& log);

// The log as one line of JSON, as Python's json.dumps: {"loss": 0.5717}, with NaN, Infinity and -Infinity.
TORCH_HPU_API std::string log_to_json(const Log& log);

// A file of logs, one JSON object a line. Every line is handed to the system at once, so that a run that is killed keeps what it wrote.
class TORCH_HPU_API JsonLinesWriter {
 public:
  explicit JsonLinesWriter(const std::string& path, bool append = true);
  ~JsonLinesWriter();
  JsonLinesWriter(const JsonLinesWriter&) = delete;
  JsonLinesWriter& operator=(const JsonLinesWriter&) = delete;
  void write(const Log& log);

 private:
  std::string path_;
  int file_;
};

// What transformers' TrainerState holds, under the same names and with the same defaults.
struct TORCH_HPU_API TrainerState {
  double epoch = 0;
  int64_t global_step = 0;
  int64_t max_steps = 0;
  int64_t num_train_epochs = 0;
  int64_t logging_steps = 500;
  int64_t eval_steps = 500;
  int64_t save_steps = 500;
  std::optional<int64_t> train_batch_size;
  int64_t num_input_tokens_seen = 0;
  double total_flos = 0;
  std::vector<Log> log_history;
  std::optional<double> best_metric;
  std::optional<int64_t> best_global_step;
  std::optional<std::string> best_model_checkpoint;
  bool is_local_process_zero = true;
  bool is_world_process_zero = true;
  bool is_hyper_param_search = false;
  std::optional<std::string> trial_name;
  std::string trial_params = "null";  // JSON
  // By the name of a callback's class, its state as JSON: {"args": {...}, "attributes": {...}}.
  std::map<std::string, std::string> stateful_callbacks;

  // trainer_state.json, byte for byte as transformers writes it: keys sorted, two spaces, NaN and Infinity as Python's json. The file
  // appears under its name only when it is complete and on the disk.
  void save_to_json(const std::string& path) const;
  // Fields that the file does not have keep their defaults; fields that nobody knows are named in a warning. Throws with the file's name
  // and what is wrong.
  static TrainerState load_from_json(const std::string& path);
};

struct ProgressBarOptions {
  std::optional<int64_t> total;
  std::string description;
  std::string unit = "it";
  int64_t initial = 0;  // what was done before (a run that is resumed)
  bool disable = false;
  bool leave = true;  // what is drawn last stays on the screen
  int file = 2;       // where it is drawn: stderr
};

// A progress bar as tqdm draws it, on a terminal: elsewhere, or disabled, nothing is drawn. Bars that live at the same time stand below each
// other. It is drawn anew at most ten times a second, by update(). Thread-safe.
class TORCH_HPU_API ProgressBar {
 public:
  explicit ProgressBar(ProgressBarOptions options);
  ~ProgressBar();  // closes
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(int64_t n = 1);
  void set_description(const std::string& description);
  void set_postfix(const std::string& postfix);  // behind the rate: "loss=0.57"
  void close();
  int64_t n() const;
  bool shown() const;  // whether it is drawn at all

  // Prints a line on stdout, above the bars that are on the screen.
  static void write(const std::string& line);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The text of a bar, `columns` wide at most: "desc:  45%|####5     | 9/20 [00:03<00:04,  2.70it/s, loss=0.5]". rate in 1/s, 0 if unknown;
// without a total there is no bar. ascii: blocks of # instead of Unicode's.
struct ProgressText {
  int64_t n = 0;
  std::optional<int64_t> total;
  double elapsed_seconds = 0;
  double rate = 0;
  std::string description, postfix, unit = "it";
  bool ascii = false;
};
TORCH_HPU_API std::string format_progress(const ProgressText& text, int columns);

// Event files that TensorBoard reads. Not thread-safe.
class TORCH_HPU_API TensorBoardWriter {
 public:
  // Makes the folder if need be, and in it a file events.out.tfevents.<time>.<host>.<process>.<number>.
  explicit TensorBoardWriter(const std::string& folder);
  ~TensorBoardWriter();
  TensorBoardWriter(const TensorBoardWriter&) = delete;
  TensorBoardWriter& operator=(const TensorBoardWriter&) = delete;

  void add_scalar(const std::string& tag, double value, int64_t step);  // kept as a 32-bit float
  void add_text(const std::string& tag, const std::string& markdown, int64_t step = 0);
  // Every number of a log, under transformers' tags: eval_loss is "eval/loss", test_loss "test/loss", loss "train/loss".
  void add_log(const Log& log, int64_t step);
  void flush();  // add_text() and add_log() do it themselves
  const std::string& path() const;

 private:
  void write_record(const std::string& event);
  std::string path_;
  int file_;
  std::string pending_;
};

}  // namespace torch_hpu
