// Device memory: statistics and limits. All sizes in bytes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "torch_hpu/export.h"

namespace torch_hpu {

TORCH_HPU_API int64_t memory_allocated(int device = 0);
TORCH_HPU_API int64_t max_memory_allocated(int device = 0);
TORCH_HPU_API int64_t memory_reserved(int device = 0);
TORCH_HPU_API int64_t max_memory_reserved(int device = 0);
// torch.cuda.memory_stats' names: "allocated_bytes.all.current" ... plus "packed_bytes.current".
TORCH_HPU_API std::map<std::string, int64_t> memory_stats(int device = 0);
TORCH_HPU_API void reset_peak_memory_stats(int device = 0);
TORCH_HPU_API void empty_cache();
TORCH_HPU_API std::pair<int64_t, int64_t> mem_get_info(int device = 0);  // free, total

}  // namespace torch_hpu
