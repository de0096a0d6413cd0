#include "csrc/graph/pool_arena.h"

#include <map>

namespace torch_hpu::graph {
namespace {

c10::DeviceIndex device_of(device::PoolId pool) {
  return static_cast<c10::DeviceIndex>(pool.first);
}

struct Arenas {
  std::mutex mutex;
  std::map<device::PoolId, std::weak_ptr<PoolArena>> by_pool;
};

Arenas& arenas() {
  static auto* instance = new Arenas;
  return *instance;
}

}  // namespace

ArenaBlock::ArenaBlock(device::PoolId pool, size_t nbytes)
    : pool(pool), block(device::allocate(device_of(pool), nbytes, pool, device::For::kArena)) {
  device::retain_pool(pool);
}

ArenaBlock::~ArenaBlock() {
  device::free(device_of(pool), block);
  device::release_pool(pool);
}

std::shared_ptr<PoolArena> PoolArena::of(device::PoolId pool) {
  Arenas& all = arenas();
  const std::lock_guard<std::mutex> lock(all.mutex);
  std::erase_if(all.by_pool, [](const auto& entry) { return entry.second.expired(); });
  std::shared_ptr<PoolArena> arena = all.by_pool[pool].lock();
  if (arena == nullptr) {
    arena = std::make_shared<PoolArena>(pool);
    all.by_pool[pool] = arena;
  }
  return arena;
}

void PoolArena::reserve(size_t nbytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (block_ == nullptr || block_->block.nbytes < nbytes) {
    block_ = nullptr;  // its pages can serve the new one
    block_ = std::make_shared<const ArenaBlock>(pool_, nbytes);
  }
}

std::shared_ptr<const ArenaBlock> PoolArena::block() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return block_;
}

}  // namespace torch_hpu::graph
