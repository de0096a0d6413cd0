#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "csrc/device/generator.h"

namespace torch_hpu::device {
namespace {

TEST(Generator, ReservingAdvancesTheOffset) {
  PhiloxGenerator generator(0);
  generator.set_current_seed(7);
  EXPECT_EQ(generator.reserve(10), 0);
  EXPECT_EQ(generator.reserve(5), 10);
  EXPECT_EQ(generator.get_offset(), 15);
  generator.set_current_seed(7);
  EXPECT_EQ(generator.get_offset(), 0);
  generator.set_offset(100);
  EXPECT_EQ(generator.reserve(1), 100);
}

TEST(Generator, ItsStateGoesRoundTrip) {
  PhiloxGenerator generator(0), other(0);
  generator.set_current_seed(0xDEADBEEFCAFEF00D);
  generator.reserve(123);
  const at::Tensor state(generator.get_state());
  EXPECT_EQ(state.numel(), 16);
  EXPECT_EQ(state.scalar_type(), at::kByte);
  other.set_state(*state.unsafeGetTensorImpl());
  EXPECT_EQ(other.current_seed(), 0xDEADBEEFCAFEF00D);
  EXPECT_EQ(other.reserve(1), 123);
  EXPECT_THROW(other.set_state(*at::zeros({15}, at::kByte).unsafeGetTensorImpl()), c10::Error);
  EXPECT_THROW(other.set_state(*at::zeros({16}, at::kFloat).unsafeGetTensorImpl()), c10::Error);
  EXPECT_EQ(other.current_seed(), 0xDEADBEEFCAFEF00D);
}

TEST(Generator, AClonesDrawsAreItsOwn) {
  at::Generator generator = at::make_generator<PhiloxGenerator>(0);
  philox(generator)->set_current_seed(3);
  philox(generator)->reserve(8);
  const at::Generator clone = generator.clone();
  EXPECT_EQ(philox(clone)->current_seed(), 3);
  EXPECT_EQ(philox(generator)->reserve(1), 8);
  EXPECT_EQ(philox(clone)->reserve(1), 8);
}

TEST(Generator, FreshSeedsDiffer) {
  PhiloxGenerator generator(0);
  const uint64_t a = generator.seed(), b = generator.seed();
  EXPECT_NE(a, b);
  EXPECT_EQ(generator.current_seed(), b);
}

TEST(Generator, OnlyOursAreTaken) {
  EXPECT_EQ(&default_generator(0), &default_generator(-1));
  EXPECT_THROW(philox(at::detail::createCPUGenerator()), c10::Error);
  EXPECT_THROW(philox(at::Generator()), c10::Error);
  EXPECT_THROW(default_generator(9), c10::Error);
}

TEST(Generator, ThreadsReserveDisjointRanges) {
  PhiloxGenerator generator(0);
  generator.set_current_seed(1);
  std::vector<std::vector<uint64_t>> drawn(4);
  std::vector<std::thread> threads;
  for (auto& mine : drawn) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        mine.push_back(generator.reserve(3));
      }
    });
  }
  std::vector<uint64_t> all;
  for (size_t t = 0; t < threads.size(); ++t) {
    threads[t].join();
    all.insert(all.end(), drawn[t].begin(), drawn[t].end());
  }
  std::sort(all.begin(), all.end());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i], 3 * i);
  }
}

}  // namespace
}  // namespace torch_hpu::device
