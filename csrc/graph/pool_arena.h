// The scratch memory of the graphs of one pool. Their runs follow each other, so they share one arena, as large as the largest of them needs.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "csrc/device/memory.h"
#include "csrc/device/stream_queue.h"

namespace torch_hpu::graph {

// A block of a pool, given back with its last holder: queued runs hold the block that they will use.
struct ArenaBlock {
  ArenaBlock(device::PoolId pool, size_t nbytes);
  ~ArenaBlock();
  ArenaBlock(const ArenaBlock&) = delete;
  ArenaBlock& operator=(const ArenaBlock&) = delete;

  const device::PoolId pool;
  const device::Block block;
};

class PoolArena {
 public:
  // The arena of the pool; lives as long as a graph holds it.
  static std::shared_ptr<PoolArena> of(device::PoolId pool);
  explicit PoolArena(device::PoolId pool) : pool_(pool) {}

  // Makes it at least this large. Throws OutOfMemoryError.
  void reserve(size_t nbytes);
  std::shared_ptr<const ArenaBlock> block() const;

  // The last run that uses the arena: the next one waits for it. Guarded by the recording lock.
  device::StreamQueue* queue = nullptr;
  uint64_t ticket = 0;

 private:
  const device::PoolId pool_;
  mutable std::mutex mutex_;
  std::shared_ptr<const ArenaBlock> block_;
};

}  // namespace torch_hpu::graph
