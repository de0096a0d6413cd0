// The one metrics mechanism: process-wide counters, cheap enough for the recording path. Public twin: torch_hpu/metrics.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace torch_hpu {

enum class Counter : uint8_t {
  kRecordedOps,     // ops appended to a trace
  kFlushes,         // traces handed to compiler and run time (empty ones are not counted)
  kCompilations,    // recipes compiled (tier compiled)
  kGenericRecipes,  // recipes built for the generic tier
  kRecipeHits,      // flushes answered by the recipe cache
  kRecipeMisses,
  kKernels,        // generated kernels run
  kLibraryCalls,   // library primitives run
  kExternCalls,    // ATen CPU kernels run as steps of a graph
  kBreakingCalls,  // data-dependent ops: each one broke the graph
  kInferCalls,     // ops run at once to learn their output shapes
  kEagerCalls,     // ops run in eager mode
  kGraphCaptures,
  kGraphReplays,
  kHostReads,         // copies to the host and item()
  kDiskHits,          // recipes whose program was read from the disk cache instead of being compiled
  kCodeCompilations,  // loop structures for which machine code was generated (neither this process nor the disk had it)
  kAheadLoads,        // recipes loaded beside the start because the last run used them
  kAheadHits,         // those of them that this run used
  kCount,
};

void count(Counter counter, uint64_t n = 1);
uint64_t value(Counter counter);
const char* name(Counter counter);  // "recorded_ops", ...

// Detail beside a counter: per op name or per flush cause. Takes a lock: not for the recording path of lowered ops.
void count_detail(Counter counter, std::string_view key, uint64_t n = 1);

std::map<std::string, uint64_t> counters_snapshot();  // every counter by name
std::map<std::string, uint64_t> counter_details(Counter counter);
void reset_counters();

}  // namespace torch_hpu
