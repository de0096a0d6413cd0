#include "csrc/support/counters.h"

#include <array>
#include <mutex>

namespace torch_hpu {
namespace {

constexpr size_t kCounters = static_cast<size_t>(Counter::kCount);

constexpr std::array<const char*, kCounters> kNames{
    "recorded_ops",  "flushes",      "compilations",      "generic_recipes", "recipe_hits", "recipe_misses",  "kernels",
    "library_calls", "extern_calls", "breaking_calls",    "infer_calls",     "eager_calls", "graph_captures", "graph_replays",
    "host_reads",    "disk_hits",    "code_compilations", "ahead_loads",     "ahead_hits"};

struct State {
  std::array<std::atomic<uint64_t>, kCounters> values{};
  std::mutex mutex;
  std::array<std::map<std::string, uint64_t, std::less<>>, kCounters> details;
};

State& state() {
  static auto* instance = new State;  // worker threads may count until the process ends
  return *instance;
}

}  // namespace

void count(Counter counter, uint64_t n) {
  state().values[static_cast<size_t>(counter)].fetch_add(n, std::memory_order_relaxed);
}

uint64_t value(Counter counter) {
  return state().values[static_cast<size_t>(counter)].load(std::memory_order_relaxed);
}

const char* name(Counter counter) {
  return kNames[static_cast<size_t>(counter)];
}

void count_detail(Counter counter, std::string_view key, uint64_t n) {
  State& s = state();
  std::lock_guard<std::mutex> lock(s.mutex);
  auto& map = s.details[static_cast<size_t>(counter)];
  auto it = map.find(key);
  if (it == map.end()) {
    it = map.emplace(std::string(key), 0).first;
  }
  it->second += n;
}

std::map<std::string, uint64_t> counters_snapshot() {
  std::map<std::string, uint64_t> all;
  for (size_t i = 0; i < kCounters; ++i) {
    all[kNames[i]] = value(static_cast<Counter>(i));
  }
  return all;
}

std::map<std::string, uint64_t> counter_details(Counter counter) {
  State& s = state();
  std::lock_guard<std::mutex> lock(s.mutex);
  const auto& map = s.details[static_cast<size_t>(counter)];
  return {map.begin(), map.end()};
}

void reset_counters() {
  State& s = state();
  for (auto& v : s.values) {
    v.store(0, std::memory_order_relaxed);
  }
  std::lock_guard<std::mutex> lock(s.mutex);
  for (auto& map : s.details) {
    map.clear();
  }
}

}  // namespace torch_hpu
