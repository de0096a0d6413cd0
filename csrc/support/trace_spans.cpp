#include "csrc/support/trace_spans.h"

#include <c10/util/Exception.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <mutex>
#include <vector>

namespace torch_hpu {
namespace {

struct Event {
  std::string name, graph;
  int64_t begin, end;  // ns
  int64_t thread;
};

struct State {
  std::mutex mutex;
  std::vector<Event> events;
};

State& state() {
  static auto* instance = new State;
  return *instance;
}

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void start_spans() {
  std::lock_guard<std::mutex> lock(state().mutex);
  state().events.clear();
  spans_on = true;
}

void stop_spans(const std::string& path) {
  spans_on = false;
  std::lock_guard<std::mutex> lock(state().mutex);
  std::ofstream out(path);
  out << "{\"traceEvents\":[";
  const char* separator = "";
  for (const Event& e : state().events) {
    out << separator << "\n{\"name\":\"" << e.name << "\",\"ph\":\"X\",\"pid\":" << getpid() << ",\"tid\":" << e.thread
        << ",\"ts\":" << static_cast<double>(e.begin) * 1e-3 << ",\"dur\":" << static_cast<double>(e.end - e.begin) * 1e-3
        << ",\"args\":{\"graph\":\"" << e.graph << "\"}}";
    separator = ",";
  }
  out << "\n]}\n";
  TORCH_CHECK(out.good(), "[hpu] cannot write the trace file ", path);
}

std::map<std::string, SpanTotal> span_totals() {
  std::lock_guard<std::mutex> lock(state().mutex);
  std::map<std::string, SpanTotal> totals;
  for (const Event& e : state().events) {
    SpanTotal& total = totals[e.name];
    ++total.count;
    total.milliseconds += static_cast<double>(e.end - e.begin) * 1e-6;
  }
  return totals;
}

Span::Span(std::string name, std::string graph) {
  if (at::hasCallbacks()) {
    profiled_.emplace(at::RecordScope::FUNCTION);
    if (profiled_->isActive()) {
      profiled_->before(name);
    }
  }
  if (spans_on.load(std::memory_order_relaxed)) {
    name_ = std::move(name);
    graph_ = std::move(graph);
    begin_ = now();
  }
}

Span::~Span() {
  if (begin_ >= 0 && spans_on.load(std::memory_order_relaxed)) {
    std::lock_guard<std::mutex> lock(state().mutex);
    state().events.push_back({std::move(name_), std::move(graph_), begin_, now(), static_cast<int64_t>(syscall(SYS_gettid))});
  }
}

ProfilerState::ProfilerState() : active_(at::hasCallbacks()) {
  if (C10_UNLIKELY(active_)) {
    callbacks_ = at::get_record_function_tls_();
    debug_info_ = c10::ThreadLocalDebugInfo::current();
  }
}

void ProfilerState::install() const {
  at::set_record_function_tls_(callbacks_);
  c10::ThreadLocalDebugInfo::_forceCurrentDebugInfo(debug_info_);
}

ProfilerState::Scope::Scope(const ProfilerState& state) {
  if (C10_UNLIKELY(state.active_)) {
    previous_ = std::make_unique<ProfilerState>();
    previous_->callbacks_ = at::get_record_function_tls_();
    previous_->debug_info_ = c10::ThreadLocalDebugInfo::current();
    state.install();
  }
}

ProfilerState::Scope::~Scope() {
  if (previous_ != nullptr) {
    previous_->install();
  }
}

}  // namespace torch_hpu
