// Timed spans in the Chrome trace format. Off: one relaxed load.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>

namespace torch_hpu {

inline std::atomic<bool> spans_on{false};
inline bool spans_enabled() {
  return spans_on.load(std::memory_order_relaxed);
}

void start_spans();  // drops what was recorded before
// Stops recording and writes the trace as JSON (chrome://tracing, Perfetto). Throws when the file cannot be written.
void stop_spans(const std::string& path);

// What was recorded so far, summed by name.
struct SpanTotal {
  uint64_t count = 0;
  double milliseconds = 0;
};
std::map<std::string, SpanTotal> span_totals();

class Span {
 public:
  explicit Span(std::string name);
  ~Span();
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  std::string name_;
  int64_t begin_ = -1;  // ns; -1: recording was off
};

}  // namespace torch_hpu
