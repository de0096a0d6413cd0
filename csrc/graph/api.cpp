// The public C++ surface that has no home of its own: each function is one call into the layer that does the work.
#include <torch_hpu/binding.h>
#include <torch_hpu/compile_cache.h>
#include <torch_hpu/device.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/memory.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/profile.h>
#include <torch_hpu/random.h>
#include <torch_hpu/stream.h>

#include <algorithm>
#include <cstdio>

#include "csrc/device/device.h"
#include "csrc/device/fork.h"
#include "csrc/device/generator.h"
#include "csrc/device/memory.h"
#include "csrc/lazy/explain.h"
#include "csrc/lazy/place.h"
#include "csrc/lazy/state.h"
#include "csrc/lazy/sync.h"
#include "csrc/support/counters.h"
#include "csrc/support/disk_cache.h"
#include "csrc/support/packed_bytes.h"
#include "csrc/support/trace_spans.h"

namespace torch_hpu {
namespace {

using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingAllocator::StatType;

const Stat& all(const StatArray& a) {
  return a[static_cast<size_t>(StatType::AGGREGATE)];
}

// The index of a device argument; -1 is the current device.
c10::DeviceIndex existing(int device) {
  TORCH_CHECK(device >= -1 && device < device::device_count(), "[hpu] invalid device index ", device, ": there are ",
              static_cast<int>(device::device_count()), " devices");
  return device < 0 ? device::current_device() : static_cast<c10::DeviceIndex>(device);
}

c10::CachingDeviceAllocator::DeviceStats stats(int device) {
  return device::device_allocator()->getDeviceStats(existing(device));
}

}  // namespace

bool is_available() {
  return device::device_count() > 0;
}
bool is_in_bad_fork() {
  return device::forked();
}
int device_count() {
  return device::device_count();
}
int current_device() {
  return device::current_device();
}
void set_device(int index) {
  device::set_device(static_cast<c10::DeviceIndex>(index));
}

c10::Stream current_stream(int device) {
  return device::current_stream(existing(device));
}
c10::Stream default_stream(int device) {
  return device::default_stream(existing(device));
}
c10::Stream new_stream(int device) {
  return device::new_stream(existing(device));
}
void set_current_stream(c10::Stream stream) {
  TORCH_CHECK(stream.device_type() == kDeviceType, "[set_current_stream] got a stream of ", stream.device(), ", expected one of hpu");
  device::exchange_stream(stream);
}

void mark_step() {
  lazy::flush(device::current_stream(device::current_device()), "mark_step");
}
void synchronize() {
  lazy::synchronize_device(device::current_device(), "synchronize");
}

bool compile_cache_enabled() {
  return disk_cache::enabled();
}
std::string compile_cache_folder() {
  return disk_cache::folder();
}
std::vector<CompileCacheFile> compile_cache_files(bool check) {
  std::vector<CompileCacheFile> files;
  for (const disk_cache::File& f : disk_cache::list(check)) {
    files.push_back({f.name, f.nbytes, f.last_use, f.intact});
  }
  return files;
}
int64_t prune_compile_cache(int64_t nbytes) {
  TORCH_CHECK_VALUE(nbytes >= 0, "[hpu] prune_compile_cache: got ", nbytes, " bytes, expected 0 or more");
  return disk_cache::prune(nbytes);
}

int exchange_eager_mode(int mode) {
  return lazy::exchange_eager_scope(mode);
}
EagerMode::EagerMode(bool eager) : previous_(lazy::exchange_eager_scope(eager ? 1 : 0)) {}
EagerMode::~EagerMode() {
  lazy::exchange_eager_scope(previous_);
}

std::map<std::string, uint64_t> metrics_snapshot() {
  return counters_snapshot();
}
std::map<std::string, uint64_t> metrics_details(const std::string& counter) {
  for (size_t i = 0; i < static_cast<size_t>(Counter::kCount); ++i) {
    if (counter == name(static_cast<Counter>(i))) {
      return counter_details(static_cast<Counter>(i));
    }
  }
  TORCH_CHECK_VALUE(false, "[metrics] unknown counter '", counter, "'");
}
void reset_metrics() {
  reset_counters();
}
std::vector<std::string> compilation_reasons() {
  return lazy::compilation_reasons();
}

int64_t memory_allocated(int device) {
  return all(stats(device).allocated_bytes).current;
}
int64_t max_memory_allocated(int device) {
  return all(stats(device).allocated_bytes).peak;
}
int64_t memory_reserved(int device) {
  return all(stats(device).reserved_bytes).current;
}
int64_t max_memory_reserved(int device) {
  return all(stats(device).reserved_bytes).peak;
}
std::map<std::string, int64_t> memory_stats(int device) {
  const auto s = stats(device);
  std::map<std::string, int64_t> map;
  const std::pair<const char*, const StatArray*> rows[] = {{"allocation", &s.allocation},
                                                           {"segment", &s.segment},
                                                           {"active", &s.active},
                                                           {"inactive_split", &s.inactive_split},
                                                           {"allocated_bytes", &s.allocated_bytes},
                                                           {"reserved_bytes", &s.reserved_bytes},
                                                           {"active_bytes", &s.active_bytes},
                                                           {"inactive_split_bytes", &s.inactive_split_bytes},
                                                           {"requested_bytes", &s.requested_bytes}};
  const std::pair<const char*, StatType> pools[] = {
      {"all", StatType::AGGREGATE}, {"small_pool", StatType::SMALL_POOL}, {"large_pool", StatType::LARGE_POOL}};
  for (const auto& [name, array] : rows) {
    for (const auto& [pool, type] : pools) {
      const Stat& stat = (*array)[static_cast<size_t>(type)];
      const std::string prefix = std::string(name) + "." + pool + ".";
      map[prefix + "current"] = stat.current;
      map[prefix + "peak"] = stat.peak;
      map[prefix + "allocated"] = stat.allocated;
      map[prefix + "freed"] = stat.freed;
    }
  }
  map["num_alloc_retries"] = s.num_alloc_retries;
  map["num_ooms"] = s.num_ooms;
  map["packed_bytes.current"] = packed_bytes.load();
  return map;
}
void reset_peak_memory_stats(int device) {
  device::device_allocator()->resetPeakStats(existing(device));
}
void empty_cache() {
  device::device_allocator()->emptyCache();
}

std::pair<int64_t, int64_t> mem_get_info(int device) {
  const auto [free, total] = device::device_allocator()->getMemoryInfo(existing(device));
  return {static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

void start_trace() {
  start_spans();
}
void stop_trace(const std::string& path) {
  stop_spans(path);
}
std::string kernel_table() {
  std::vector<std::pair<std::string, SpanTotal>> rows;
  for (const auto& row : span_totals()) {
    if (row.first.compare(0, 6, "graph ") != 0) {  // sums of others
      rows.push_back(row);
    }
  }
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second.milliseconds > b.second.milliseconds; });
  std::string table = "        ms      calls  name\n";
  char line[64];
  for (const auto& [name, total] : rows) {
    std::snprintf(line, sizeof line, "%10.3f %10lu  ", total.milliseconds, total.count);
    table += line + name + "\n";
  }
  return table;
}
void install_interpreter(const Interpreter& interpreter) {
  lazy::install_gil_hooks({interpreter.release_lock, interpreter.acquire_lock});
  lazy::install_place_hooks({interpreter.here, interpreter.text});
}

const at::Generator& default_generator(int device) {
  return device::default_generator(static_cast<c10::DeviceIndex>(device));
}
void manual_seed(uint64_t seed) {
  for (c10::DeviceIndex d = 0; d < device::device_count(); ++d) {
    device::philox(device::default_generator(d))->set_current_seed(seed);
  }
}
uint64_t initial_seed(int device) {
  return device::philox(device::default_generator(static_cast<c10::DeviceIndex>(device)))->current_seed();
}

}  // namespace torch_hpu
