// Device memory: a caching allocator over host pages.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Device.h>
#include <c10/core/Stream.h>

#include <cstddef>
#include <utility>

namespace torch_hpu::device {

// (0, 0) is the device's ordinary pool; HPU Graphs have their own.
using PoolId = std::pair<uint64_t, uint64_t>;

// One block of device memory, 64-byte aligned. Owned by exactly one holder; free() gives it back to its pool, which keeps its
// pages. Blocks know nothing of streams: whoever queues work on a block keeps it until that work has finished.
struct Block {
  std::byte* data = nullptr;
  size_t nbytes = 0;  // as requested
};

// Throws torch.OutOfMemoryError (c10::OutOfMemoryError), after trying to release cached pages, when the limit or the host
// refuses. nbytes 0 gives a block with data == nullptr. New pages for an arena are prepared ones, see Note [Prepared pages].
enum class For : bool { kTensor, kArena };
Block allocate(c10::DeviceIndex device, size_t nbytes, PoolId pool = {0, 0}, For use = For::kTensor);
void free(c10::DeviceIndex device, const Block& block) noexcept;

PoolId create_pool(c10::DeviceIndex device);  // a fresh name; nobody holds it yet
void retain_pool(PoolId pool);
void release_pool(PoolId pool);  // the last release returns its free pages to the host; blocks still in use go on living

// The allocator that c10 and torch.accelerator see: DataPtrs over allocate()/free(), statistics, emptyCache, limits.
c10::DeviceAllocator* device_allocator();

}  // namespace torch_hpu::device
