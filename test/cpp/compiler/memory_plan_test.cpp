// The arena: what lives at the same time never shares bytes, what does not shares them.
#include "csrc/compiler/memory_plan.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <random>

#include "test/cpp/compiler/recorder.h"

namespace torch_hpu {
namespace {

using compiler::Lifetime;

ir::Buffer temporary(int64_t nbytes) {
  return {nbytes, ir::BufferKind::kLocal, /*observable=*/false, /*written=*/true};
}

int64_t rounded(int64_t nbytes) {
  return (nbytes + 63) / 64 * 64;
}

TEST(MemoryPlan, InputsAndObservableLocalsAreBoundByTheRun) {
  std::vector<ir::Buffer> buffers{{100, ir::BufferKind::kInput, true, false}, temporary(100), {100, ir::BufferKind::kLocal, true, true}};
  Recipe recipe;
  compiler::plan_memory(buffers, {{0, 1}, {0, 1}, {1, 1}}, {}, recipe);
  EXPECT_FALSE(recipe.placements[0].in_arena);
  EXPECT_TRUE(recipe.placements[1].in_arena);
  EXPECT_FALSE(recipe.placements[2].in_arena);
  EXPECT_EQ(recipe.arena_bytes, 128);
}

TEST(MemoryPlan, AChainNeedsTwoBuffers) {
  const std::vector<ir::Buffer> buffers(20, temporary(1000));
  std::vector<Lifetime> lifetimes;
  for (size_t i = 0; i < buffers.size(); ++i) {
    lifetimes.push_back({i, i + 1});
  }
  Recipe recipe;
  compiler::plan_memory(buffers, lifetimes, {}, recipe);
  EXPECT_EQ(recipe.arena_bytes, 2 * rounded(1000));
}

TEST(MemoryPlan, BuffersThatLiveAtOneTimeAreDisjoint) {
  std::mt19937 random(3);
  int64_t planned = 0, needed = 0;
  for (int round = 0; round < 30; ++round) {
    std::vector<ir::Buffer> buffers;
    std::vector<Lifetime> lifetimes;
    std::vector<int64_t> live(64);
    for (int i = 0; i < 40; ++i) {
      buffers.push_back(temporary(static_cast<int64_t>(random() % 3000)));
      const size_t first = random() % 50, last = first + random() % 12;
      lifetimes.push_back({first, last});
      for (size_t t = first; t <= last; ++t) {
        live[t] += rounded(buffers.back().nbytes);
      }
    }
    buffers.push_back(temporary(500));  // never used
    lifetimes.emplace_back();
    Recipe recipe;
    compiler::plan_memory(buffers, lifetimes, {}, recipe);
    int64_t sum = 0;
    for (size_t a = 0; a + 1 < buffers.size(); ++a) {
      const Recipe::Placement& x = recipe.placements[a];
      sum += rounded(x.nbytes);
      EXPECT_EQ(x.arena_offset % 64, 0);
      EXPECT_LE(x.arena_offset + x.nbytes, recipe.arena_bytes);
      for (size_t b = 0; b < a; ++b) {
        const Recipe::Placement& y = recipe.placements[b];
        const bool meet_in_time = lifetimes[a].first <= lifetimes[b].last && lifetimes[b].first <= lifetimes[a].last;
        const bool meet_in_memory = x.arena_offset < y.arena_offset + y.nbytes && y.arena_offset < x.arena_offset + x.nbytes;
        EXPECT_FALSE(meet_in_time && meet_in_memory && x.nbytes > 0 && y.nbytes > 0);
      }
    }
    const int64_t most = *std::max_element(live.begin(), live.end());
    EXPECT_GE(recipe.arena_bytes, most);
    EXPECT_LT(recipe.arena_bytes, sum);
    planned += recipe.arena_bytes;
    needed += most;
  }
  EXPECT_LE(planned, needed * 11 / 10);
}

TEST(MemoryPlan, AnInPlaceSuccessorTakesItsPredecessorsBytes) {
  const std::vector<ir::Buffer> buffers(4, temporary(1000));
  const std::vector<Lifetime> lifetimes{{0, 1}, {1, 2}, {1, 2}, {2, 3}};  // 1 and 2 both could follow 0; 3 could follow either
  Recipe recipe;
  compiler::plan_memory(buffers, lifetimes, {{0, 1}, {0, 2}, {1, 3}, {2, 3}}, recipe);
  const auto offset = [&](size_t b) { return recipe.placements[b].arena_offset; };
  EXPECT_EQ(offset(1), offset(0));
  EXPECT_NE(offset(2), offset(0));
  EXPECT_EQ(offset(3), offset(1));
  EXPECT_EQ(recipe.arena_bytes, 2 * rounded(1000));
}

TEST(MemoryPlan, OutputsAreOfferedInputsThatDiedBefore) {
  const ir::Buffer input{100, ir::BufferKind::kInput, true, false}, output{100, ir::BufferKind::kLocal, true, true};
  const std::vector<ir::Buffer> buffers{input, input, input, {80, ir::BufferKind::kInput, true, false}, output, output};
  const std::vector<Lifetime> lifetimes{{0, 0}, {0, 1}, {0, 2}, {0, 0}, {1, 2}, {2, 2}};
  Recipe recipe;
  compiler::plan_memory(buffers, lifetimes, {{1, 4}}, recipe);
  // 4 is written while 1 is read, in its place; 0 was read before. 2 is read to the end, and 3 has another size.
  EXPECT_EQ(recipe.donations, (std::vector<std::pair<ir::BufferId, ir::BufferId>>{{4, 1}, {4, 0}, {5, 1}, {5, 0}}));
}

// What stands between two products is written over what it reads: one temporary is enough for both.
TEST(MemoryPlan, PointwiseLoopsOverwriteATemporary) {
  testing::Recorder r;
  const at::Tensor x = at::randn({32, 32});
  r.observe(r.op("mm", {r.op("sin", {r.op("mm", {x, at::randn({32, 32})})}), x}));
  testing::check(r);
  EXPECT_EQ(compiler::compile(r.graph(), compiler::Tier::kCompiled)->arena_bytes, 32 * 32 * 4);
}

// An output in the place of the input that its loop reads; a transposed or a later read of the input forbids it.
TEST(MemoryPlan, DonationsOfACompiledGraph) {
  const auto donations = [](auto make) {
    testing::Recorder r;
    const at::Tensor x = at::randn({8, 8});
    make(r, x);
    testing::check(r);
    return compiler::compile(r.graph(), compiler::Tier::kCompiled)->donations.size();
  };
  EXPECT_EQ(donations([](auto& r, const at::Tensor& x) { r.observe(r.op("exp", {r.op("sin", {x})})); }), 1);
  EXPECT_EQ(donations([](auto& r, const at::Tensor& x) { r.observe(r.op("add.Tensor", {x, x.t(), 1})); }), 0);
  EXPECT_EQ(donations([](auto& r, const at::Tensor& x) { r.observe(r.op("mm", {r.op("exp", {x}), x})); }), 0);
  EXPECT_EQ(donations([](auto& r, const at::Tensor& x) { r.observe(r.op("mm", {r.op("exp", {x}), at::ones({8, 8})})); }), 1);  // x, before
}

// Not when the loop reads what it would overwrite by another map, or somebody reads it later.
TEST(MemoryPlan, LoopsThatNeedTheOldBytesDoNot) {
  testing::Recorder r;
  const at::Tensor x = at::randn({32, 32});
  const at::Tensor a = r.op("mm", {x, x}), b = r.op("mm", {a, x});
  r.observe(r.op("mm", {r.op("tanh", {r.op("add.Tensor", {b, b.t(), 1})}), r.op("sin", {a})}));
  r.observe(a);
  testing::check(r);
}

// Of three products over x the last one is needed last: it is made when only one other temporary lives.
TEST(MemoryPlan, WhatIsNeededLateIsMadeLate) {
  testing::Recorder r;
  const at::Tensor x = at::randn({32, 32}), w = at::randn({32, 32});
  const at::Tensor a = r.op("mm", {x, w}), late = r.op("mm", {w, x});
  r.observe(r.op("mm", {r.op("mm", {r.op("mm", {a, x}), w}), late}));
  testing::check(r, 1e-3);
  EXPECT_EQ(compiler::compile(r.graph(), compiler::Tier::kCompiled)->arena_bytes, 2 * 32 * 32 * 4);
}

TEST(MemoryPlan, FusedTemporariesNeedNoArena) {
  testing::Recorder r;
  at::Tensor x = at::randn({64});
  for (int i = 0; i < 10; ++i) {
    x = r.op("exp", {r.op("neg", {x})});
  }
  r.observe(x);
  EXPECT_GT(compiler::compile(r.graph(), compiler::Tier::kGeneric)->arena_bytes, 0);
  EXPECT_EQ(compiler::compile(r.graph(), compiler::Tier::kCompiled)->arena_bytes, 0);
}

}  // namespace
}  // namespace torch_hpu
