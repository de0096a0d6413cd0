// Progress bars. All bars of one terminal are drawn together, the oldest on top, and the cursor is left at the beginning of the first: so a line
// can be printed in their place and the bars drawn again below it.
#include <torch_hpu/training_log.h>

#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <vector>

namespace torch_hpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr double kSmoothing = 0.3;  // weight of the newest interval in the rate
constexpr int kDefaultColumns = 80;

template <typename... T>
std::string format(const char* pattern, T... values) {
  char text[128];
  std::snprintf(text, sizeof(text), pattern, values...);
  return text;
}

std::string interval(double seconds) {
  const auto s = static_cast<int64_t>(std::max(seconds, 0.0));
  return s >= 3600 ? format("%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60) : format("%02ld:%02ld", s / 60, s % 60);
}

// Characters of UTF-8.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string cut(const std::string& text, size_t columns) {
  size_t seen = 0, i = 0;
  for (; i < text.size(); ++i) {
    if ((text[i] & 0xc0) != 0x80 && ++seen > columns) {
      break;
    }
  }
  return text.substr(0, i);
}

std::string bar(double fraction, int columns, bool ascii) {
  static const std::string kBlocks[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int steps = ascii ? 10 : 8;
  const int filled = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * columns * steps);
  const int full = filled / steps, part = filled % steps;
  std::string out;
  for (int i = 0; i < full; ++i) {
    out += ascii ? "#" : "█";
  }
  if (full < columns) {
    const std::string last = part == 0 ? " " : ascii ? std::to_string(part) : kBlocks[part];
    out += last + std::string(static_cast<size_t>(columns - full - 1), ' ');
  }
  return out;
}

bool terminal_is_utf8() {
  const locale_t locale = ::newlocale(LC_CTYPE_MASK, "", nullptr);
  if (locale == nullptr) {
    return false;
  }
  const bool utf8 = std::string(::nl_langinfo_l(CODESET, locale)) == "UTF-8";
  ::freelocale(locale);
  return utf8;
}

int terminal_columns(int file) {
  winsize size{};
  return ::ioctl(file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kDefaultColumns;
}

void put(int file, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(file, text.data() + done, text.size() - done);
    if (n <= 0) {
      return;  // a terminal that has gone is no reason to stop a training
    }
    done += static_cast<size_t>(n);
  }
}

// The bars on screens, in the order in which they were made, and the lock of everything here. Never destroyed: bars may be static too.
struct Screen {
  std::mutex mutex;
  std::vector<ProgressBar*> bars;
};

Screen& screen() {
  static auto* instance = new Screen;
  return *instance;
}

constexpr const char* kClear = "\r\x1b[J";  // from the cursor's line to the end of the screen

}  // namespace

struct ProgressBar::State {
  explicit State(ProgressBarOptions o) : options(std::move(o)) {
    n = drawn_n = options.initial;
  }
  std::string text() const {
    ProgressText t;
    t.n = n;
    t.total = options.total;
    t.elapsed_seconds = std::chrono::duration<double>(Clock::now() - start).count();
    t.rate = intervals_seconds > 0   ? intervals_n / intervals_seconds
             : t.elapsed_seconds > 0 ? static_cast<double>(n - options.initial) / t.elapsed_seconds
                                     : 0;
    t.description = options.description;
    t.postfix = postfix;
    t.unit = options.unit;
    t.ascii = ascii;
    return format_progress(t, terminal_columns(options.file) - 1);  // the last column would wrap on some terminals
  }
  // Takes the time since the last drawing into the rate.
  void tick() {
    const auto now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - drawn).count();
    const auto done = static_cast<double>(n - drawn_n);
    if (done > 0 && seconds > 0) {
      intervals_n = intervals_seconds > 0 ? kSmoothing * done + (1 - kSmoothing) * intervals_n : done;
      intervals_seconds = intervals_seconds > 0 ? kSmoothing * seconds + (1 - kSmoothing) * intervals_seconds : seconds;
      drawn_n = n;
    }
    drawn = now;
  }
  // All bars of a terminal; the cursor stands at the first.
  static void draw(int file) {
    std::string out;
    int lines = 0;
    for (const ProgressBar* each : screen().bars) {
      if (each->state_->options.file == file) {
        out += (lines++ > 0 ? "\n\r" : "\r") + each->state_->text() + "\x1b[K";
      }
    }
    out += lines > 1 ? "\x1b[" + std::to_string(lines - 1) + "A\r" : "\r";
    put(file, out);
  }

  ProgressBarOptions options;
  std::string postfix;
  int64_t n, drawn_n;
  double intervals_n = 0, intervals_seconds = 0;  // smoothed: steps and seconds between drawings
  Clock::time_point start = Clock::now(), drawn = start;
  bool shown = false, ascii = true;
};

std::string format_progress(const ProgressText& t, int columns) {
  const std::string prefix = t.description.empty() ? "" : t.description + ": ";
  const std::string postfix = t.postfix.empty() ? "" : ", " + t.postfix;
  const std::string rate = t.rate <= 0   ? "?" + t.unit + "/s"
                           : t.rate >= 1 ? format("%5.2f", t.rate) + t.unit + "/s"
                                         : format("%5.2f", 1 / t.rate) + "s/" + t.unit;
  const auto limit = static_cast<size_t>(std::max(columns, 1));
  if (!t.total || *t.total <= 0) {
    return cut(prefix + std::to_string(t.n) + t.unit + " [" + interval(t.elapsed_seconds) + ", " + rate + postfix + "]", limit);
  }
  const double fraction = static_cast<double>(t.n) / static_cast<double>(*t.total);
  const std::string remaining = t.rate > 0 ? interval(static_cast<double>(*t.total - t.n) / t.rate) : "?";
  const std::string left = prefix + format("%3.0f%%|", fraction * 100);
  const std::string right = "| " + std::to_string(t.n) + "/" + std::to_string(*t.total) + " [" + interval(t.elapsed_seconds) + "<" +
                            remaining + ", " + rate + postfix + "]";
  const int room = static_cast<int>(limit) - static_cast<int>(width(left) + width(right));
  return cut(left + bar(fraction, std::max(room, 1), t.ascii) + right, limit);
}

ProgressBar::ProgressBar(ProgressBarOptions options) : state_(std::make_unique<State>(std::move(options))) {
  State& s = *state_;
  s.shown = !s.options.disable && ::isatty(s.options.file) == 1;
  if (s.shown) {
    s.ascii = !terminal_is_utf8();
    const std::lock_guard lock(screen().mutex);
    screen().bars.push_back(this);
    State::draw(s.options.file);
  }
}

ProgressBar::~ProgressBar() {
  close();
}

void ProgressBar::update(int64_t n) {
  const std::lock_guard lock(screen().mutex);
  State& s = *state_;
  s.n += n;
  if (s.shown && Clock::now() - s.drawn >= kRedraw) {
    s.tick();
    State::draw(s.options.file);
  }
}

void ProgressBar::set_description(const std::string& description) {
  const std::lock_guard lock(screen().mutex);
  state_->options.description = description;
}

void ProgressBar::set_postfix(const std::string& postfix) {
  const std::lock_guard lock(screen().mutex);
  state_->postfix = postfix;
}

void ProgressBar::close() {
  const std::lock_guard lock(screen().mutex);
  State& s = *state_;
  if (!s.shown) {
    return;
  }
  s.tick();
  put(s.options.file, kClear + (s.options.leave ? s.text() + "\n" : ""));
  s.shown = false;
  std::erase(screen().bars, this);
  State::draw(s.options.file);
}

int64_t ProgressBar::n() const {
  const std::lock_guard lock(screen().mutex);
  return state_->n;
}

bool ProgressBar::shown() const {
  const std::lock_guard lock(screen().mutex);
  return state_->shown;
}

void ProgressBar::write(const std::string& line) {
  const std::lock_guard lock(screen().mutex);
  std::vector<int> files;
  for (const ProgressBar* each : screen().bars) {
    if (std::find(files.begin(), files.end(), each->state_->options.file) == files.end()) {
      files.push_back(each->state_->options.file);
      put(files.back(), kClear);
    }
  }
  std::fwrite((line + "\n").data(), 1, line.size() + 1, stdout);
  std::fflush(stdout);
  for (const int file : files) {
    State::draw(file);
  }
}

}  // namespace torch_hpu
