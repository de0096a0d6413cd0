// Counters: what the backend did.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

// Every counter by name: recorded_ops, flushes, compilations, generic_recipes, recipe_hits, recipe_misses, kernels, library_calls,
// extern_calls, breaking_calls, infer_calls, eager_calls, graph_captures, graph_replays, host_reads, disk_hits, code_compilations, ahead_loads,
// ahead_hits.
TORCH_HPU_API std::map<std::string, uint64_t> metrics_snapshot();

// What is known beside a counter: "extern_calls", "breaking_calls" and "infer_calls" by op, "flushes" and "compilations" by cause. Throws on other names.
TORCH_HPU_API std::map<std::string, uint64_t> metrics_details(const std::string& counter);

TORCH_HPU_API void reset_metrics();

// What becomes of each op of namespace aten ("add.Tensor"): lowered (compiled), library, extern (its CPU kernel runs inside the graph), breaking (it needs
// data at once), composite (decomposes into other ops), own (views and transfers), unavailable (torch has no kernel for it that runs on a CPU).
TORCH_HPU_API std::map<std::string, std::string> op_classes();

// Why the last graphs were compiled, oldest first, a sentence each: "graph 1a2b3c4d (12 nodes): shape: [aten::mm] argument 'self' has shape
// [8, 3], in graph 5e6f7a8b it was [4, 3], recorded at train.py:17". metrics_details("compilations") counts the causes.
TORCH_HPU_API std::vector<std::string> compilation_reasons();

}  // namespace torch_hpu
