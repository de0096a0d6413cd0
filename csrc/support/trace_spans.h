// Timed spans: of a trace of our own (Chrome format) and of torch's profiler, when that records on this thread. Off: two loads.
#pragma once

#include <ATen/record_function.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace torch_hpu {

inline std::atomic<bool> spans_on{false};
inline bool spans_enabled() {
  return spans_on.load(std::memory_order_relaxed) || at::hasCallbacks();
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
  // graph: the label of the graph that it belongs to.
  Span(std::string name, std::string graph);
  ~Span();
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  std::string name_, graph_;
  int64_t begin_ = -1;  // ns; -1: recording was off
  std::optional<at::RecordFunction> profiled_;
};

// torch's profiler as the constructing thread sees it, for work that is handed to another thread.
class ProfilerState {
 public:
  ProfilerState();

  // While it lives, that profiler sees the calling thread.
  class Scope {
   public:
    explicit Scope(const ProfilerState& state);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::unique_ptr<ProfilerState> previous_;  // null: there is no profiler
  };

 private:
  void install() const;

  bool active_;
  at::RecordFunctionTLS callbacks_;
  std::shared_ptr<c10::ThreadLocalDebugInfo> debug_info_;
};

}  // namespace torch_hpu
