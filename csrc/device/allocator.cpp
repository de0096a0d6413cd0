// The caching allocator. Segments come from the host by mmap; blocks are carved out of them by best fit, split when much larger than
// asked, and merged with free neighbours when they come back. Pages are kept: on memory-bound work, first-touch page faults cost more than the
// work.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "csrc/device/device.h"
#include "csrc/device/fork.h"
#include "csrc/device/memory.h"
#include "csrc/device/stream_queue.h"
#include "csrc/support/env.h"
#include "csrc/support/pages.h"

namespace torch_hpu::device {
namespace {

using c10::CachingAllocator::Stat;
using c10::CachingAllocator::StatArray;
using c10::CachingAllocator::StatType;
using c10::CachingDeviceAllocator::DeviceStats;

constexpr size_t kAlign = 64;
constexpr size_t kSmallLimit = size_t{1} << 20;  // blocks up to here share 2 MiB segments
constexpr size_t kSmallSegment = size_t{2} << 20;
constexpr size_t kHuge = size_t{2} << 20;
// Segments from this size on are asked for in huge pages. The first touch of one takes up to 4 ms in virtual machines whose host backs memory when
// it is used, which would be most of the first run of a small graph.
constexpr size_t kHugePages = size_t{64} << 20;
constexpr size_t kKept = 16;                         // sizes, in units of kAlign, of which one free block is kept as it is
constexpr size_t kSplitRemainder = size_t{1} << 16;  // of large blocks: smaller rests stay with the block

size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

struct Chunk {  // a part of a segment, free or in use
  std::byte* data;
  size_t size;
  size_t requested = 0;
  bool in_use = false;
  bool small;
  PoolId pool;
  Chunk* previous = nullptr;  // neighbours in the segment
  Chunk* next = nullptr;
};

struct BySize {
  bool operator()(const Chunk* a, const Chunk* b) const {
    return a->size != b->size ? a->size < b->size : a->data < b->data;
  }
};

struct Pool {
  std::set<Chunk*, BySize> free_small, free_large;
  int64_t references = 0;
};

void bump(StatArray& stat, bool small, int64_t delta) {
  for (StatType type : {StatType::AGGREGATE, small ? StatType::SMALL_POOL : StatType::LARGE_POOL}) {
    Stat& s = stat[static_cast<size_t>(type)];
    delta >= 0 ? s.increase(static_cast<size_t>(delta)) : s.decrease(static_cast<size_t>(-delta));
  }
}

class DeviceMemory {
 public:
  Block allocate(c10::DeviceIndex device, size_t nbytes, PoolId id, For use) {
    if (nbytes == 0) {
      return {};
    }
    const size_t size = round_up(nbytes, kAlign);
    std::lock_guard<std::mutex> lock(mutex_);
    Chunk** kept = kept_of(size, id);
    Chunk* chunk = kept != nullptr ? std::exchange(*kept, nullptr) : nullptr;
    if (chunk == nullptr) {
      chunk = take(size, id);
      if (chunk == nullptr && id == PoolId{0, 0} && put_back_kept()) {
        chunk = take(size, id);
      }
      if (chunk == nullptr) {
        chunk = grow(device, size, nbytes, id, use);
      }
      split(chunk, size);
      chunk->in_use = true;
      chunks_[chunk->data] = chunk;
    }
    chunk->requested = nbytes;
    bump(stats_.allocation, chunk->small, 1);
    bump(stats_.active, chunk->small, 1);
    bump(stats_.allocated_bytes, chunk->small, static_cast<int64_t>(chunk->size));
    bump(stats_.active_bytes, chunk->small, static_cast<int64_t>(chunk->size));
    bump(stats_.requested_bytes, chunk->small, static_cast<int64_t>(nbytes));
    return {chunk->data, nbytes};
  }

  void free(const Block& block) noexcept {
    if (block.data == nullptr) {
      return;
    }
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = chunks_.find(block.data);
    if (it == chunks_.end()) {
      return;
    }
    Chunk* chunk = it->second;
    bump(stats_.allocation, chunk->small, -1);
    bump(stats_.active, chunk->small, -1);
    bump(stats_.allocated_bytes, chunk->small, -static_cast<int64_t>(chunk->size));
    bump(stats_.active_bytes, chunk->small, -static_cast<int64_t>(chunk->size));
    bump(stats_.requested_bytes, chunk->small, -static_cast<int64_t>(chunk->requested));
    if (Chunk** kept = kept_of(chunk->size, chunk->pool); kept != nullptr && *kept == nullptr) {
      *kept = chunk;
      return;
    }
    const PoolId pool = chunk->pool;
    put_back(chunk);
    if (pool != PoolId{0, 0} && pools_[pool].references <= 0) {
      release_segments(pool);
    }
  }

  // Returns whole free segments to the host.
  void release_cached(PoolId id) {
    std::lock_guard<std::mutex> lock(mutex_);
    release_segments(id);
  }

  void retain(PoolId id) {
    std::lock_guard<std::mutex> lock(mutex_);
    ++pools_[id].references;
  }
  void release(PoolId id) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (--pools_[id].references <= 0) {
      release_segments(id);
    }
  }

  DeviceStats stats() {
    std::lock_guard<std::mutex> lock(mutex_);
    return stats_;
  }
  void reset_peak() {
    std::lock_guard<std::mutex> lock(mutex_);
    for_each_stat([](Stat& s) { s.reset_peak(); });
  }
  void reset_accumulated() {
    std::lock_guard<std::mutex> lock(mutex_);
    for_each_stat([](Stat& s) { s.reset_accumulated(); });
    stats_.num_alloc_retries = stats_.num_ooms = 0;
  }

 private:
  template <typename F>
  void for_each_stat(F f) {
    for (StatArray* a : {&stats_.allocation, &stats_.segment, &stats_.active, &stats_.inactive_split, &stats_.allocated_bytes,
                         &stats_.reserved_bytes, &stats_.active_bytes, &stats_.inactive_split_bytes, &stats_.requested_bytes}) {
      for (Stat& s : *a) {
        f(s);
      }
    }
  }

  std::set<Chunk*, BySize>& free_list(PoolId id, bool small) {
    Pool& pool = pools_[id];
    return small ? pool.free_small : pool.free_large;
  }

  // Where a free chunk of this size is kept to serve the next one who asks for it: small results come and go. It counts as in use for its
  // neighbours, so that nothing is merged and split again. Null: none is kept of such chunks.
  Chunk** kept_of(size_t size, PoolId id) {
    return id == PoolId{0, 0} && size <= kKept * kAlign ? &kept_[size / kAlign - 1] : nullptr;
  }

  void put_back(Chunk* chunk) {
    chunks_.erase(chunk->data);
    chunk->in_use = false;
    chunk = merge(merge(chunk, chunk->previous), chunk->next);
    free_list(chunk->pool, chunk->small).insert(chunk);
  }

  // Whether there was any.
  bool put_back_kept() {
    bool any = false;
    for (Chunk*& kept : kept_) {
      if (kept != nullptr) {
        put_back(std::exchange(kept, nullptr));
        any = true;
      }
    }
    return any;
  }

  Chunk* take(size_t size, PoolId id) {
    auto& list = free_list(id, size <= kSmallLimit);
    Chunk key{nullptr, size, 0, false, false, id};
    auto it = list.lower_bound(&key);
    if (it == list.end()) {
      return nullptr;
    }
    Chunk* chunk = *it;
    list.erase(it);
    return chunk;
  }

  Chunk* grow(c10::DeviceIndex device, size_t size, size_t requested, PoolId id, For use) {
    const bool small = size <= kSmallLimit;
    const size_t segment = small ? kSmallSegment : round_up(size, kHuge);
    std::byte* data = map(segment);
    if (data == nullptr) {
      ++stats_.num_alloc_retries;
      for (auto& [pool, unused] : pools_) {
        release_segments(pool);
      }
      data = map(segment);
    }
    if (data == nullptr) {
      ++stats_.num_ooms;
      std::ostringstream message;
      message << "[hpu] out of memory on hpu:" << static_cast<int>(device) << ": tried to allocate " << requested
              << " bytes. Allocated: " << current(stats_.allocated_bytes) << " bytes, reserved: " << current(stats_.reserved_bytes)
              << " bytes, limit: " << (options().memory_limit > 0 ? std::to_string(options().memory_limit) + " bytes" : "none")
              << ". Free tensors, call empty_cache(), or raise the limit (TORCH_HPU_MEMORY_LIMIT).";
      throw c10::OutOfMemoryError({__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, message.str());
    }
    if (use == For::kArena && segment < kHugePages) {
      put_prepared_pages(data, size);
    }
    bump(stats_.segment, small, 1);
    bump(stats_.reserved_bytes, small, static_cast<int64_t>(segment));
    ++stats_.num_device_alloc;
    return new Chunk{data, segment, 0, false, small, id};
  }

  static int64_t current(const StatArray& a) {
    return a[static_cast<size_t>(StatType::AGGREGATE)].current;
  }

  std::byte* map(size_t nbytes) {
    const int64_t limit = options().memory_limit;
    if (limit > 0 && current(stats_.reserved_bytes) + static_cast<int64_t>(nbytes) > limit) {
      return nullptr;
    }
    if (nbytes > (size_t{1} << 46)) {
      return nullptr;
    }
    void* p = mmap(nullptr, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
      return nullptr;
    }
    if (nbytes >= kHugePages) {
      madvise(p, nbytes, MADV_HUGEPAGE);
    }
    return static_cast<std::byte*>(p);
  }

  void split(Chunk* chunk, size_t size) {
    const size_t rest = chunk->size - size;
    if (rest < (chunk->small ? kAlign : kSplitRemainder)) {
      return;
    }
    auto* tail = new Chunk{chunk->data + size, rest, 0, false, chunk->small, chunk->pool, chunk, chunk->next};
    if (tail->next != nullptr) {
      tail->next->previous = tail;
    }
    chunk->next = tail;
    chunk->size = size;
    free_list(chunk->pool, chunk->small).insert(tail);
  }

  // Joins a free chunk with a neighbour, if that one is free; returns what is left.
  Chunk* merge(Chunk* chunk, Chunk* neighbour) {
    if (neighbour == nullptr || neighbour->in_use) {
      return chunk;
    }
    free_list(neighbour->pool, neighbour->small).erase(neighbour);
    Chunk* first = neighbour == chunk->previous ? neighbour : chunk;
    Chunk* second = first == chunk ? neighbour : chunk;
    first->size += second->size;
    first->next = second->next;
    if (first->next != nullptr) {
      first->next->previous = first;
    }
    delete second;
    return first;
  }

  void release_segments(PoolId id) {
    if (id == PoolId{0, 0}) {
      put_back_kept();
    }
    for (bool small : {true, false}) {
      auto& list = free_list(id, small);
      for (auto it = list.begin(); it != list.end();) {
        Chunk* chunk = *it;
        if (chunk->previous != nullptr || chunk->next != nullptr) {
          ++it;
          continue;
        }
        it = list.erase(it);
        munmap(chunk->data, chunk->size);
        bump(stats_.segment, small, -1);
        bump(stats_.reserved_bytes, small, -static_cast<int64_t>(chunk->size));
        ++stats_.num_device_free;
        delete chunk;
      }
    }
  }

  std::mutex mutex_;
  std::map<PoolId, Pool> pools_;
  std::unordered_map<std::byte*, Chunk*> chunks_;  // in use or kept, by address
  std::array<Chunk*, kKept> kept_{};
  DeviceStats stats_;
};

DeviceMemory& memory_of(c10::DeviceIndex device) {
  thread_local c10::DeviceIndex last_device = -1;
  thread_local DeviceMemory* last_memory = nullptr;
  if (last_device == device) {
    return *last_memory;
  }
  static auto* all = new std::map<c10::DeviceIndex, DeviceMemory>;
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  last_memory = &(*all)[device];
  last_device = device;
  return *last_memory;
}

// The context of DataPtrs that are handed to c10.
struct Owned {
  c10::DeviceIndex device;
  Block block;
};

void release_owned(void* context) {
  auto* owned = static_cast<Owned*>(context);
  free(owned->device, owned->block);
  delete owned;
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t nbytes) override {
    const c10::DeviceIndex device = current_device();
    auto* owned = new Owned{device, {}};
    try {
      owned->block = device::allocate(device, nbytes);
    } catch (...) {
      delete owned;
      throw;
    }
    return {owned->block.data, owned, &release_owned, c10::Device(c10::DeviceType::PrivateUse1, device)};
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return nullptr;  // context and data differ
  }
  void copy_data(void* dest, const void* src, std::size_t count) const override {
    default_copy_data(dest, src, count);
  }
  bool initialized() override {
    return true;
  }
  void emptyCache(c10::MempoolId_t pool) override {
    for (c10::DeviceIndex d = 0; d < device_count(); ++d) {
      wait_all(d);
      memory_of(d).release_cached(pool);
    }
    drop_prepared_pages();
  }
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    return memory_of(device).stats();
  }
  void resetAccumulatedStats(c10::DeviceIndex device) override {
    memory_of(device).reset_accumulated();
  }
  void resetPeakStats(c10::DeviceIndex device) override {
    memory_of(device).reset_peak();
  }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) override {
    const auto total = static_cast<size_t>(options().memory_limit > 0 ? options().memory_limit : host_bytes());
    const auto used = static_cast<size_t>(memory_of(device).stats().allocated_bytes[static_cast<size_t>(StatType::AGGREGATE)].current);
    return {total > used ? total - used : 0, total};
  }

 private:
  static int64_t host_bytes() {
    return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  }
};

}  // namespace

Block allocate(c10::DeviceIndex device, size_t nbytes, PoolId pool, For use) {
  return memory_of(device).allocate(device, nbytes, pool, use);
}

void free(c10::DeviceIndex device, const Block& block) noexcept {
  if (forked()) {
    return;  // a thread of the parent may have held the lock
  }
  memory_of(device).free(block);
}

PoolId create_pool(c10::DeviceIndex device) {
  static std::atomic<uint64_t> next{1};
  return {static_cast<uint64_t>(device), next.fetch_add(1)};
}

void retain_pool(PoolId pool) {
  memory_of(static_cast<c10::DeviceIndex>(pool.first)).retain(pool);
}

void release_pool(PoolId pool) {
  memory_of(static_cast<c10::DeviceIndex>(pool.first)).release(pool);
}

c10::DeviceAllocator* device_allocator() {
  static auto* allocator = new Allocator;
  return allocator;
}

}  // namespace torch_hpu::device
