// What a run tells: log dicts, JSON lines, trainer_state.json, event files (decoded here by hand) and progress bars on a pseudo-terminal.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <torch_hpu/training_log.h>
#include <unistd.h>

#include <c10/util/Exception.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <thread>

namespace {

namespace fs = std::filesystem;
using torch_hpu::Log;
using torch_hpu::ProgressBar;
using torch_hpu::ProgressBarOptions;
using torch_hpu::TrainerState;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class TrainingLog : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("torch_hpu_log_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override {
    fs::remove_all(folder_);
  }
  std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }
  fs::path folder_;
};

template <typename F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what_without_backtrace()).find(text), std::string::npos) << error.what_without_backtrace();
  }
}

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

TEST_F(TrainingLog, PrintsAsPythonDoes) {
  const Log log = {{"loss", 0.5717},
                   {"grad_norm", 1.4617894887924194},
                   {"learning_rate", 4.642857142857143e-05},
                   {"epoch", 0.2857142857142857},
                   {"memory_allocated (GB)", 0.0},
                   {"total_memory_available (GB)", 16.0}};
  EXPECT_EQ(torch_hpu::format_log(log),
            "{'loss': 0.5717, 'grad_norm': 1.4617894887924194, 'learning_rate': 4.642857142857143e-05, 'epoch': 0.2857142857142857, "
            "'memory_allocated (GB)': 0.0, 'total_memory_available (GB)': 16.0}");
  EXPECT_EQ(torch_hpu::format_log({}), "{}");
  EXPECT_EQ(torch_hpu::format_log({{"step", 5},
                                   {"a", 1e16},
                                   {"b", 9999999999999998.0},
                                   {"c", 0.0001},
                                   {"d", 0.00001},
                                   {"e", -1.5e300},
                                   {"f", kNan},
                                   {"g", -kInfinity},
                                   {"h", true},
                                   {"i", std::monostate()},
                                   {"j", "it's \\ \n"},
                                   {"k", "both ' and \""},
                                   {"l", -0.0},
                                   {"m", 123456.0},
                                   {"n", 5e-324},
                                   {"o", "\x07é"}}),
            "{'step': 5, 'a': 1e+16, 'b': 9999999999999998.0, 'c': 0.0001, 'd': 1e-05, 'e': -1.5e+300, 'f': nan, 'g': -inf, 'h': True, "
            "'i': None, 'j': \"it's \\\\ \\n\", 'k': 'both \\' and \"', 'l': -0.0, 'm': 123456.0, 'n': 5e-324, 'o': '\\x07é'}");
}

TEST_F(TrainingLog, LogsAreOrderedDicts) {
  Log log;
  log.set("loss", 1.5f);
  log.set("step", size_t{7});
  log.set("name", "x");
  log.set("loss", 2);
  log.update({{"epoch", 0.5}, {"step", 8}});
  EXPECT_EQ(torch_hpu::format_log(log), "{'loss': 2, 'step': 8, 'name': 'x', 'epoch': 0.5}");
  EXPECT_EQ(log.number("step"), 8.0);
  EXPECT_TRUE(log.erase("name"));
  EXPECT_FALSE(log.erase("name"));
  EXPECT_FALSE(log.contains("name"));
  EXPECT_EQ(log.size(), 3u);
  expect_error([&] { log.number("eval_loss"); }, "[Log] there is no value 'eval_loss' in {'loss': 2");
  log.set("name", "x");
  expect_error([&] { log.number("name"); }, "[Log] the value 'name' is not a number");
}

TEST_F(TrainingLog, JsonLines) {
  {
    torch_hpu::JsonLinesWriter lines(path("log.jsonl"));
    lines.write({{"loss", 0.5}, {"step", 1}, {"text", "ä\t😀"}});
    EXPECT_EQ(read(path("log.jsonl")), "{\"loss\": 0.5, \"step\": 1, \"text\": \"\\u00e4\\t\\ud83d\\ude00\"}\n");  // before it is closed
  }
  torch_hpu::JsonLinesWriter(path("log.jsonl")).write({{"loss", kNan}, {"a", kInfinity}});
  EXPECT_NE(read(path("log.jsonl")).find("}\n{\"loss\": NaN, \"a\": Infinity}\n"), std::string::npos);
  torch_hpu::JsonLinesWriter(path("log.jsonl"), false).write({});
  EXPECT_EQ(read(path("log.jsonl")), "{}\n");
  expect_error([&] { torch_hpu::JsonLinesWriter(path("no/log.jsonl")); }, "[JsonLinesWriter] cannot open");
  EXPECT_EQ(torch_hpu::log_to_json({{"bad", "\xff\xc3"}}), "{\"bad\": \"\\ufffd\\ufffd\"}");
}

TEST_F(TrainingLog, StateComesBack) {
  TrainerState state;
  state.epoch = 1.5;
  state.global_step = 30;
  state.max_steps = 40;
  state.train_batch_size = 8;
  state.total_flos = 1.25e15;
  state.log_history = {{{"epoch", 0.5}, {"loss", kNan}, {"step", 10}},
                       {{"eval_loss", kInfinity}, {"per_class", torch_hpu::LogJson{"[1, 2.0]"}}}};
  state.best_metric = -kInfinity;
  state.best_model_checkpoint = "out/checkpoint-10";
  state.stateful_callbacks["EarlyStoppingCallback"] = R"({"args": {"early_stopping_patience": 3}, "attributes": {"worst": NaN}})";
  state.save_to_json(path("trainer_state.json"));
  EXPECT_FALSE(fs::exists(path("trainer_state.json.partial")));
  const std::string text = read(path("trainer_state.json"));
  EXPECT_EQ(
      text.rfind("{\n  \"best_global_step\": null,\n  \"best_metric\": -Infinity,\n  \"best_model_checkpoint\": \"out/checkpoint-10\",\n",
                 0),
      0u)
      << text;
  const TrainerState back = TrainerState::load_from_json(path("trainer_state.json"));
  EXPECT_EQ(back.epoch, 1.5);
  EXPECT_EQ(back.train_batch_size, 8);
  EXPECT_EQ(back.total_flos, 1.25e15);
  EXPECT_EQ(back.best_metric, -kInfinity);
  EXPECT_FALSE(back.best_global_step.has_value());
  ASSERT_EQ(back.log_history.size(), 2u);
  EXPECT_TRUE(std::isnan(back.log_history[0].number("loss")));
  EXPECT_EQ(torch_hpu::format_log(back.log_history[0]), "{'epoch': 0.5, 'loss': nan, 'step': 10}");
  EXPECT_EQ(back.log_history[1].number("eval_loss"), kInfinity);
  back.save_to_json(path("again.json"));
  EXPECT_EQ(read(path("again.json")), text);
}

TEST_F(TrainingLog, StateFilesAreChecked) {
  const std::string file = path("trainer_state.json");
  const auto load = [&](const std::string& text) {
    write(file, text);
    return TrainerState::load_from_json(file);
  };
  EXPECT_EQ(load("{}").logging_steps, 500);
  EXPECT_EQ(load(R"({"global_step": 3.0, "epoch": 1, "log_history": [{"NaN": "NaN"}]})").global_step, 3);
  expect_error([&] { load(R"({"global_step": "3"})"); }, "trainer_state.json: 'global_step': got \"3\", expected a whole number");
  expect_error([&] { load(R"({"global_step": 3.5})"); }, "'global_step': got 3.5, expected a whole number");
  expect_error([&] { load(R"({"log_history": {}})"); }, "'log_history': got {}, expected a list");
  expect_error([&] { load(R"({"log_history": [3]})"); }, "log_history[0]: expected an object of names and values, got 3");
  expect_error([&] { load("{\"global_step\": 3"); }, "trainer_state.json is no valid JSON");
  expect_error([&] { load(std::string(100000, '[') + std::string(100000, ']')); }, "is nested more than 200 levels deep");
  expect_error([&] { load("[]"); }, "expected a JSON object");
  expect_error([&] { load(""); }, "is no valid JSON");
  expect_error([&] { TrainerState::load_from_json(path("none.json")); }, "[TrainerState] cannot open");
  expect_error([&] { TrainerState().save_to_json(path("no/trainer_state.json")); }, "[TrainerState] cannot write");
  TrainerState state;
  state.stateful_callbacks["X"] = "{";
  expect_error([&] { state.save_to_json(file); }, "the state of the callback 'X' is no valid JSON");
}

// ---- event files, read without the code that wrote them

uint32_t crc32c(const std::string& data) {
  uint32_t crc = 0xffffffff;
  for (const char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
  }
  return ~crc;
}

uint32_t masked(uint32_t crc) {
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

template <typename T>
T take(std::string& bytes) {
  T value{};
  EXPECT_GE(bytes.size(), sizeof(T));
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes.erase(0, sizeof(T));
  return value;
}

uint64_t take_varint(std::string& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(take<char>(bytes));
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      return value;
    }
  }
}

// The fields of a message: number -> raw bytes (or the varint's value as 8 bytes).
std::multimap<uint64_t, std::string> fields(std::string bytes) {
  std::multimap<uint64_t, std::string> out;
  while (!bytes.empty()) {
    const uint64_t key = take_varint(bytes);
    std::string value;
    switch (key & 7) {
      case 0: {
        const uint64_t number = take_varint(bytes);
        value.assign(reinterpret_cast<const char*>(&number), 8);
        break;
      }
      case 1:
      case 5: {
        const size_t size = (key & 7) == 1 ? 8 : 4;
        value = bytes.substr(0, size);
        bytes.erase(0, size);
        break;
      }
      case 2: {
        const uint64_t size = take_varint(bytes);
        value = bytes.substr(0, size);
        bytes.erase(0, size);
        break;
      }
      default:
        ADD_FAILURE() << "wire type " << (key & 7);
        return out;
    }
    out.emplace(key >> 3, value);
  }
  return out;
}

std::string field(const std::string& message, std::initializer_list<uint64_t> path) {
  std::string at = message;
  for (const uint64_t number : path) {
    const auto all = fields(at);
    const auto found = all.find(number);
    if (found == all.end()) {
      ADD_FAILURE() << "no field " << number;
      return "";
    }
    at = found->second;
  }
  return at;
}

template <typename T>
T as(std::string bytes) {
  return take<T>(bytes);
}

std::vector<std::string> events(const std::string& path) {
  std::string bytes = read(path);
  std::vector<std::string> out;
  while (!bytes.empty()) {
    const std::string length = bytes.substr(0, 8);
    const auto size = take<uint64_t>(bytes);
    EXPECT_EQ(take<uint32_t>(bytes), masked(crc32c(length)));
    out.push_back(bytes.substr(0, size));
    bytes.erase(0, size);
    EXPECT_EQ(take<uint32_t>(bytes), masked(crc32c(out.back())));
  }
  return out;
}

TEST_F(TrainingLog, EventFiles) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);  // the check value of the CRC
  torch_hpu::TensorBoardWriter writer(path("runs/a"));
  EXPECT_EQ(fs::path(writer.path()).filename().string().rfind("events.out.tfevents.", 0), 0u);
  EXPECT_EQ(events(writer.path()).size(), 1u);
  writer.add_text("args", "{\"learning_rate\": 0.1}");
  writer.add_log({{"loss", 0.5}, {"eval_loss", kNan}, {"test_acc", 1}, {"note", "no number"}, {"step", 300}}, 300);
  writer.add_scalar("x", -2.5, 1'000'000'000'000);
  EXPECT_EQ(events(writer.path()).size(), 6u);  // the scalar waits
  writer.flush();
  const auto all = events(writer.path());
  ASSERT_EQ(all.size(), 7u);
  EXPECT_EQ(field(all[0], {3}), "brain.Event:2");
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  for (const std::string& event : all) {
    EXPECT_NEAR(as<double>(field(event, {1})), now, 60);
  }
  EXPECT_EQ(field(all[1], {5, 1, 1}), "args/text_summary");
  EXPECT_EQ(field(all[1], {5, 1, 9, 1, 1}), "text");
  EXPECT_EQ(as<uint64_t>(field(all[1], {5, 1, 8, 1})), 7u);  // DT_STRING
  EXPECT_EQ(field(all[1], {5, 1, 8, 8}), "{\"learning_rate\": 0.1}");
  const std::vector<std::pair<std::string, float>> expected = {
      {"train/loss", 0.5f}, {"eval/loss", static_cast<float>(kNan)}, {"test/acc", 1.f}, {"train/step", 300.f}, {"x", -2.5f}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(field(all[i + 2], {5, 1, 1}), expected[i].first);
    const auto value = as<float>(field(all[i + 2], {5, 1, 2}));
    EXPECT_TRUE(value == expected[i].second || (std::isnan(value) && std::isnan(expected[i].second))) << value;
    EXPECT_EQ(as<uint64_t>(field(all[i + 2], {2})), i < 4 ? 300u : 1'000'000'000'000u);
  }
  EXPECT_NE(torch_hpu::TensorBoardWriter(path("runs/a")).path(), writer.path());
  write(path("file"), "");
  expect_error([&] { torch_hpu::TensorBoardWriter(path("file")); }, "[TensorBoardWriter] cannot");
}

// ---- progress bars

struct Terminal {
  Terminal() {
    winsize size{};
    size.ws_col = 100;
    size.ws_row = 20;
    EXPECT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
    ::fcntl(master, F_SETFL, O_NONBLOCK);
  }
  ~Terminal() {
    ::close(master);
    ::close(slave);
  }
  std::string output() {
    char buffer[65536];
    for (ssize_t n = 0; (n = ::read(master, buffer, sizeof(buffer))) > 0;) {
      text.append(buffer, static_cast<size_t>(n));
    }
    return text;
  }
  // The lines that a user sees.
  std::vector<std::string> screen() {
    std::vector<std::string> lines(1);
    size_t row = 0, column = 0;
    const std::string bytes = output();
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] == '\r') {
        column = 0;
      } else if (bytes[i] == '\n') {
        lines.resize(std::max(lines.size(), ++row + 1));
      } else if (bytes[i] == '\x1b') {
        size_t end = bytes.find_first_not_of("[0123456789", i + 1);
        const int n = std::max(1, std::atoi(bytes.substr(i + 2, end - i - 2).c_str()));
        if (bytes[end] == 'A') {
          row -= static_cast<size_t>(n);
        } else {
          lines[row].resize(std::min(lines[row].size(), column));
          if (bytes[end] == 'J') {
            lines.resize(row + 1);
          }
        }
        i = end;
      } else {
        lines[row].resize(std::max(lines[row].size(), column + 1), ' ');
        lines[row][column++] = bytes[i];
      }
    }
    while (!lines.empty() && lines.back().empty()) {
      lines.pop_back();
    }
    return lines;
  }
  int master = -1, slave = -1;
  std::string text;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(TrainingLog, BarsAsTqdm) {
  torch_hpu::ProgressText text;
  text.n = 9;
  text.total = 20;
  text.elapsed_seconds = 3.4;
  text.rate = 2.7;
  text.description = "train";
  text.postfix = "loss=0.5";
  text.ascii = true;
  EXPECT_EQ(torch_hpu::format_progress(text, 68), "train:  45%|######7        | 9/20 [00:03<00:04,  2.70it/s, loss=0.5]");
  text.rate = 0.25;
  text.elapsed_seconds = 3725;
  text.postfix.clear();
  EXPECT_TRUE(contains(torch_hpu::format_progress(text, 70), "| 9/20 [1:02:05<00:44,  4.00s/it]"));
  EXPECT_EQ(torch_hpu::format_progress(text, 12).size(), 12u);
  text.total.reset();
  text.description.clear();
  text.rate = 0;
  EXPECT_EQ(torch_hpu::format_progress(text, 70), "9it [1:02:05, ?it/s]");
}

TEST_F(TrainingLog, NothingWithoutATerminal) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ProgressBarOptions options;
  options.total = 3;
  options.file = ends[1];
  {
    ProgressBar bar(options);
    EXPECT_FALSE(bar.shown());
    bar.update(3);
    EXPECT_EQ(bar.n(), 3);
  }
  ::close(ends[1]);
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);
  ::close(ends[0]);
  Terminal terminal;
  options.file = terminal.slave;
  options.disable = true;
  ProgressBar(options).update();
  EXPECT_EQ(terminal.output(), "");
}

TEST_F(TrainingLog, DrawsAtMostTenTimesASecond) {
  Terminal terminal;
  ProgressBarOptions options;
  options.total = 100000;
  options.description = "train";
  options.file = terminal.slave;
  {
    ProgressBar bar(options);
    EXPECT_TRUE(bar.shown());
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(450);
    while (std::chrono::steady_clock::now() < end) {
      bar.update();
      terminal.output();
    }
    bar.set_postfix("loss=0.25");
    bar.update(100000 - bar.n());
  }
  const std::string output = terminal.output();
  size_t drawings = 0;
  for (size_t at = output.find("train:"); at != std::string::npos; at = output.find("train:", at + 1)) {
    ++drawings;
  }
  EXPECT_GE(drawings, 3u);
  EXPECT_LE(drawings, 8u);
  const auto lines = terminal.screen();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(contains(lines[0], "train: 100%|")) << lines[0];
  EXPECT_TRUE(contains(lines[0], "100000/100000 [")) << lines[0];
  EXPECT_TRUE(contains(lines[0], ", loss=0.25]")) << lines[0];
}

TEST_F(TrainingLog, BarsBelowEachOtherAndLinesAbove) {
  Terminal terminal;
  const int out = ::dup(1);
  std::fflush(stdout);
  ::dup2(terminal.slave, 1);  // printed lines go to the same terminal
  {
    ProgressBarOptions options;
    options.total = 10;
    options.description = "train";
    options.file = terminal.slave;
    ProgressBar outer(options);
    ProgressBar::write("{'loss': 1.5}");
    {
      options.description = "eval";
      options.leave = false;
      ProgressBar inner(options);
      ProgressBar::write("first");
      inner.update(4);
      const auto lines = terminal.screen();
      EXPECT_EQ(lines.size(), 4u);
      EXPECT_EQ(lines[0], "{'loss': 1.5}");
      EXPECT_EQ(lines[1], "first");
      EXPECT_TRUE(contains(lines[2], "train:   0%|")) << lines[2];
      EXPECT_TRUE(contains(lines[3], "eval:   0%|")) << lines[3];
    }
    ProgressBar::write("second");
    outer.update(10);
  }
  ProgressBar::write("after");
  std::fflush(stdout);
  ::dup2(out, 1);
  ::close(out);
  const auto lines = terminal.screen();
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[2], "second");
  EXPECT_TRUE(contains(lines[3], "train: 100%|")) << lines[3];
  EXPECT_EQ(lines[4], "after");
}

}  // namespace
