#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <thread>

#include "csrc/device/memory.h"
#include "csrc/support/env.h"
#include "csrc/support/pages.h"
#include "test/cpp/device/resident.h"

namespace torch_hpu::device {
namespace {

using c10::CachingAllocator::StatType;

constexpr size_t kKiB = 1024, kMiB = 1024 * kKiB;

c10::CachingDeviceAllocator::DeviceStats stats() {
  return device_allocator()->getDeviceStats(0);
}

int64_t current(const c10::CachingAllocator::StatArray& a) {
  return a[static_cast<size_t>(StatType::AGGREGATE)].current;
}

// A pool of its own: where blocks lie does not depend on what ran before.
class Allocator : public testing::Test {
 protected:
  Block take(size_t nbytes) {
    return allocate(0, nbytes, pool_);
  }
  void give(const Block& block) {
    free(0, block);
  }
  void SetUp() override {
    retain_pool(pool_);
  }
  void TearDown() override {
    release_pool(pool_);
    set_option("memory_limit", "0");
  }
  const PoolId pool_ = create_pool(0);
};

TEST_F(Allocator, BlocksAreAlignedAndDistinct) {
  const Block a = take(1), b = take(65), c = take(3 * kMiB);
  for (const Block& block : {a, b, c}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data) % 64, 0);
    std::memset(block.data, 1, block.nbytes);
  }
  EXPECT_EQ(b.data - a.data, 64);
  EXPECT_EQ(b.nbytes, 65);
  for (const Block& block : {a, b, c}) {
    give(block);
  }
  EXPECT_EQ(take(0).data, nullptr);
}

TEST_F(Allocator, TheSmallestBlockThatFitsIsTaken) {
  const Block large = take(256 * kKiB), wall = take(64), small = take(128 * kKiB), end = take(64);
  give(large);
  give(small);
  const Block fits_both = take(100 * kKiB);
  EXPECT_EQ(fits_both.data, small.data);
  const Block rest = take(28 * kKiB);  // the first one was split
  EXPECT_EQ(rest.data, small.data + 100 * kKiB);
  const Block fits_large = take(200 * kKiB);
  EXPECT_EQ(fits_large.data, large.data);
  for (const Block& block : {wall, end, fits_both, rest, fits_large}) {
    give(block);
  }
}

TEST_F(Allocator, FreeNeighboursAreJoined) {
  const Block a = take(512 * kKiB), b = take(512 * kKiB), c = take(512 * kKiB);
  give(a);
  give(c);
  give(b);  // joins both sides
  const Block whole = take(kMiB);
  EXPECT_EQ(whole.data, a.data);
  give(whole);
}

TEST_F(Allocator, ArenasTakePreparedPages) {
  prepare_pages(4 * kMiB);
  const Block tensor = take(3 * kMiB);
  EXPECT_EQ(resident_pages(tensor.data, tensor.nbytes), 0);
  const Block arena = allocate(0, 3 * kMiB, pool_, For::kArena);
  EXPECT_EQ(resident_pages(arena.data, arena.nbytes), arena.nbytes / kPage);
  give(tensor);
  give(arena);
  device_allocator()->emptyCache(pool_);  // the rest of the prepared ones, too
  const Block later = allocate(0, 3 * kMiB, pool_, For::kArena);
  EXPECT_EQ(resident_pages(later.data, later.nbytes), 0);
  give(later);
}

TEST_F(Allocator, PagesAreKeptUntilThePoolIsReleased) {
  const int64_t before = current(stats().reserved_bytes);
  const Block a = take(4 * kMiB);
  const int64_t with = current(stats().reserved_bytes);
  EXPECT_EQ(with - before, static_cast<int64_t>(4 * kMiB));
  give(a);
  EXPECT_EQ(current(stats().reserved_bytes), with);
  const Block again = take(3 * kMiB);
  EXPECT_EQ(again.data, a.data);
  retain_pool(pool_);
  release_pool(pool_);
  give(again);
  EXPECT_EQ(current(stats().reserved_bytes), with);
  device_allocator()->emptyCache(pool_);
  EXPECT_EQ(current(stats().reserved_bytes), before);
}

TEST_F(Allocator, ABlockOutlivesItsPool) {
  const int64_t before = current(stats().reserved_bytes);
  const PoolId pool = create_pool(0);
  const Block block = allocate(0, 4 * kMiB, pool);
  release_pool(pool);
  std::memset(block.data, 7, block.nbytes);
  free(0, block);
  EXPECT_EQ(current(stats().reserved_bytes), before);
}

TEST_F(Allocator, PoolsShareNothing) {
  const PoolId other = create_pool(0);
  const Block a = take(64);
  give(a);
  const Block b = allocate(0, 64, other);
  EXPECT_NE(a.data, b.data);
  free(0, b);
  release_pool(other);
}

TEST_F(Allocator, Statistics) {
  device_allocator()->resetPeakStats(0);
  device_allocator()->resetAccumulatedStats(0);
  const auto before = stats();
  const Block a = take(1000), b = take(2 * kMiB);
  give(a);
  const auto after = stats();
  EXPECT_EQ(current(after.requested_bytes) - current(before.requested_bytes), static_cast<int64_t>(2 * kMiB));
  EXPECT_EQ(current(after.allocation) - current(before.allocation), 1);
  const auto& bytes = after.allocated_bytes[static_cast<size_t>(StatType::AGGREGATE)];
  EXPECT_EQ(bytes.current - current(before.allocated_bytes), static_cast<int64_t>(2 * kMiB));
  EXPECT_EQ(bytes.peak - current(before.allocated_bytes), static_cast<int64_t>(2 * kMiB + 1024));
  EXPECT_EQ(bytes.allocated, static_cast<int64_t>(2 * kMiB + 1024));
  EXPECT_EQ(bytes.freed, 1024);
  const auto& small = after.allocated_bytes[static_cast<size_t>(StatType::SMALL_POOL)];
  EXPECT_EQ(small.allocated, 1024);
  EXPECT_EQ(after.num_device_alloc - before.num_device_alloc, 2);
  give(b);
}

TEST_F(Allocator, TheLimitIsKept) {
  const Block a = take(4 * kMiB);
  set_option("memory_limit", std::to_string(current(stats().reserved_bytes) + static_cast<int64_t>(2 * kMiB)));
  const int64_t failures = stats().num_ooms;
  try {
    take(8 * kMiB);
    FAIL() << "no error";
  } catch (const c10::OutOfMemoryError& error) {
    EXPECT_NE(std::string(error.what()).find("tried to allocate 8388608 bytes"), std::string::npos) << error.what();
  }
  EXPECT_EQ(stats().num_ooms, failures + 1);
  give(a);
  const Block larger = take(6 * kMiB);  // the kept pages of `a` make room
  EXPECT_NE(larger.data, nullptr);
  give(larger);
}

TEST_F(Allocator, KeptBlocksServeOthersBeforeMemoryRunsOut) {
  const auto take = [](size_t nbytes) { return allocate(0, nbytes, PoolId{0, 0}); };  // private pools keep none
  set_option("memory_limit", std::to_string(current(stats().reserved_bytes) + static_cast<int64_t>(2 * kMiB)));
  std::vector<Block> blocks;
  try {
    for (;;) {
      blocks.push_back(take(1024));
    }
  } catch (const c10::OutOfMemoryError&) {  // full
  }
  give(blocks.back());
  blocks.back() = take(256);
  EXPECT_NE(blocks.back().data, nullptr);
  for (const Block& b : blocks) {
    give(b);
  }
}

TEST_F(Allocator, ThreadsDoNotMeet) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::vector<Block> mine;
      for (int i = 0; i < 400; ++i) {
        mine.push_back(take(1 + random() % 5000));
        std::memset(mine.back().data, t + 1, mine.back().nbytes);
        if (mine.size() > 20) {
          const size_t k = random() % mine.size();
          for (size_t b = 0; b < mine[k].nbytes; ++b) {
            wrong += mine[k].data[b] != static_cast<std::byte>(t + 1);
          }
          give(mine[k]);
          mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(k));
        }
      }
      for (const Block& block : mine) {
        give(block);
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace torch_hpu::device
