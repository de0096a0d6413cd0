// The orders of an epoch. Index by index against Python: test/python/test_training_data.py.
#include <gtest/gtest.h>
#include <torch_hpu/training_data.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace {

using torch_hpu::DistributedSampler;
using torch_hpu::LengthGroupedSampler;
using torch_hpu::PaddedRandomSampler;
using torch_hpu::RandomSampler;
using torch_hpu::SequentialSampler;
using Indices = std::vector<int64_t>;

template <typename F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what_without_backtrace()).find(text), std::string::npos) << error.what_without_backtrace();
  }
}

Indices range(int64_t size) {
  Indices indices(static_cast<size_t>(size));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

Indices sorted(Indices indices) {
  std::sort(indices.begin(), indices.end());
  return indices;
}

TEST(Samplers, Sequential) {
  EXPECT_EQ(SequentialSampler(4).indices(9), range(4));
  EXPECT_TRUE(SequentialSampler(0).indices(0).empty());
  expect_error([] { SequentialSampler(-1); }, "size: got -1");
}

TEST(Samplers, RandomBySeedAndEpoch) {
  const RandomSampler sampler(100, 42);
  EXPECT_EQ(sampler.indices(3), sampler.indices(3));
  EXPECT_NE(sampler.indices(3), sampler.indices(4));
  EXPECT_EQ(sampler.indices(3), RandomSampler(100, 43).indices(2));  // seed + epoch
  EXPECT_EQ(sorted(sampler.indices(0)), range(100));
  expect_error([] { RandomSampler(0, 42); }, "[RandomSampler] there is nothing to sample from: got a dataset of 0 examples");
  expect_error([] { RandomSampler(3, 42, 0); }, "num_samples: got 0");
}

TEST(Samplers, PaddedToFullBatches) {
  const PaddedRandomSampler sampler(40, 6, 7);
  EXPECT_EQ(sampler.size(), 42);
  const Indices indices = sampler.indices(1);
  ASSERT_EQ(indices.size(), 42u);
  EXPECT_EQ(sorted(Indices(indices.begin(), indices.begin() + 40)), range(40));
  EXPECT_EQ(Indices(indices.begin(), indices.begin() + 40), RandomSampler(40, 7).indices(1));
  EXPECT_EQ(std::set(indices.begin() + 40, indices.end()).size(), 2u);  // of one permutation
  EXPECT_EQ(PaddedRandomSampler(3, 8, 7).size(), 8);                    // three permutations, the last one cut off
  EXPECT_EQ(PaddedRandomSampler(3, 8, 7).indices(0).size(), 8u);
  EXPECT_EQ(PaddedRandomSampler(48, 6, 7).indices(0), RandomSampler(48, 7).indices(0));
  expect_error([] { PaddedRandomSampler(3, 0, 7); }, "[PaddedRandomSampler] batch_size: got 0");
}

TEST(Samplers, GroupsByLength) {
  Indices lengths;
  for (int64_t i = 0; i < 1000; ++i) {
    lengths.push_back(1 + i * 7919 % 97);
  }
  const LengthGroupedSampler sampler(lengths, 8, 5);
  const Indices indices = sampler.indices(2);
  EXPECT_EQ(sorted(indices), range(1000));
  EXPECT_EQ(lengths[static_cast<size_t>(indices[0])], *std::max_element(lengths.begin(), lengths.end()));
  EXPECT_NE(indices, sampler.indices(3));
  int64_t padding = 0, shuffled_padding = 0;
  const auto waste = [&](const Indices& order) {
    int64_t sum = 0;
    for (size_t b = 0; b < order.size(); b += 8) {
      int64_t longest = 0, total = 0;
      for (size_t i = b; i < b + 8; ++i) {
        longest = std::max(longest, lengths[static_cast<size_t>(order[i])]);
        total += lengths[static_cast<size_t>(order[i])];
      }
      sum += 8 * longest - total;
    }
    return sum;
  };
  padding = waste(indices);
  shuffled_padding = waste(RandomSampler(1000, 5).indices(2));
  EXPECT_LT(padding * 10, shuffled_padding);
  expect_error([] { LengthGroupedSampler({}, 8, 5); }, "nothing to sample from");
}

TEST(Samplers, SharesAmongProcesses) {
  const auto order = std::make_shared<RandomSampler>(10, 3);
  const Indices whole = order->indices(1);
  Indices together;
  for (int64_t rank = 0; rank < 4; ++rank) {
    const DistributedSampler part(order, rank, 4);
    const Indices indices = part.indices(1);
    ASSERT_EQ(indices.size(), 3u);  // padded to 12
    EXPECT_EQ(indices[0], whole[static_cast<size_t>(rank)]);
    EXPECT_EQ(indices[2], whole[static_cast<size_t>(8 + rank) % 10]);
    together.insert(together.end(), indices.begin(), indices.end());
    EXPECT_EQ(DistributedSampler(order, rank, 4, true).indices(1), Indices(indices.begin(), indices.begin() + 2));
  }
  EXPECT_EQ(std::set(together.begin(), together.end()).size(), 10u);
  EXPECT_EQ(DistributedSampler(std::make_shared<SequentialSampler>(1), 3, 5).indices(0), Indices{0});
  expect_error([&] { DistributedSampler(order, 4, 4); }, "[DistributedSampler] rank: got 4, expected 0 to 3");
  expect_error([&] { DistributedSampler(nullptr, 0, 1); }, "order: got none");
}

TEST(Samplers, DescribeTheirOrder) {
  EXPECT_EQ(RandomSampler(10, 3).describe(), "random(size=10, seed=3, num_samples=10)");
  EXPECT_NE(LengthGroupedSampler({1, 2}, 1, 0).describe(), LengthGroupedSampler({2, 1}, 1, 0).describe());
  EXPECT_EQ(DistributedSampler(std::make_shared<SequentialSampler>(9), 1, 2).describe(),
            "distributed(sequential(size=9), world_size=2, drop_last=false)");
}

}  // namespace
