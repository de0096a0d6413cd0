// A gauge: memory that library steps keep for prepacked weights. Reported beside the allocator's statistics.
#pragma once

#include <atomic>
#include <cstdint>

namespace torch_hpu {

inline std::atomic<int64_t> packed_bytes{0};

}  // namespace torch_hpu
