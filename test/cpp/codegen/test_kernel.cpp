// Compiling and running as a whole: the cache, threads, names, many loops in one module, code that is freed.
#include <ATen/Parallel.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "csrc/codegen/code.h"
#include "csrc/codegen/plan.h"
#include "test/cpp/codegen/harness.h"

namespace torch_hpu::codegen {
namespace {

Loop scaled_copy(int64_t n, double factor, const std::string& name) {
  LoopBuilder b(name, {n}, 1);
  b.store(1, S::Float, {1}, b.binary(Op::kMul, b.load(0, S::Float, {1}), b.constant(S::Float, factor)));
  return b.loop;
}

TEST(Kernel, HostIsDescribed) {
  EXPECT_NE(host_description().find("width="), std::string::npos);
}

TEST(Kernel, ErrorsCarryTheNameOfTheLoopThatRan) {
  for (const char* name : {"one", "other"}) {
    LoopBuilder b(name, {3}, 1);
    b.store(0, S::Long, {1}, b.expr(Op::kCheckIndex, S::Long, b.binary(Op::kAdd, b.index(0), b.constant(S::Long, 2)), kNoExpr, kNoExpr, 4));
    Memory m;
    m.add(S::Long, 3);
    EXPECT_EQ(expect_agrees(b.loop, m), std::string("index out of range in ") + name);
  }
}

TEST(Kernel, ManyLoopsInOneModule) {
  std::vector<Loop> loops;
  for (int i = 0; i < 20; ++i) {
    loops.push_back(scaled_copy(50 + i % 10, i % 10 + 1, "loop" + std::to_string(i)));  // each structure twice
  }
  const auto kernels = compile(loops);
  ASSERT_EQ(kernels.size(), 20u);
  for (int i = 0; i < 20; ++i) {
    Memory m;
    m.add(S::Float, std::vector<double>(60, 3));
    m.add(S::Float, std::vector<double>(60, 0));
    kernels[i]->run(m.pointers().data(), nullptr, nullptr);
    EXPECT_EQ(m.data<float>(1)[49 + i % 10], 3.0f * (i % 10 + 1));
    EXPECT_EQ(m.data<float>(1)[50 + i % 10], 0.0f);
  }
}

TEST(Kernel, RunsOnSeveralThreads) {
  const int threads = at::get_num_threads();
  for (int64_t n : {int64_t{1}, int64_t{1000}, int64_t{1000003}}) {
    for (int t : {1, 2, 5}) {
      at::set_num_threads(t);
      Memory m;
      m.add(S::Float, n);
      m.add(S::Float, n);
      expect_agrees(scaled_copy(n, 0.5, "scaled"), m, {0, 0});
    }
  }
  at::set_num_threads(threads);
}

TEST(Kernel, CompilesOnSeveralThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const int64_t n = 300 + (i + t) % 12;
        const auto kernel = compile({scaled_copy(n, 2, "concurrent")})[0];
        std::vector<float> x(n, 1.5f), y(n, 0);
        std::byte* pointers[] = {reinterpret_cast<std::byte*>(x.data()), reinterpret_cast<std::byte*>(y.data())};
        kernel->run(pointers, nullptr, nullptr);
        good += y[n - 1] == 3.0f;
      }
    });
  }
  for (std::thread& t : threads) {
    t.join();
  }
  EXPECT_EQ(good, 40);
}

int64_t resident_pages() {
  std::ifstream f("/proc/self/statm");
  int64_t size = 0, resident = 0;
  f >> size >> resident;
  return resident;
}

TEST(Kernel, DroppedCodeIsFreed) {  // far more kernels than the cache holds
  const auto make = [](int64_t first) {
    std::vector<Loop> loops;
    for (int64_t i = 0; i < 100; ++i) {
      LoopBuilder b("tiny", {}, 0);
      b.store(0, S::Long, {}, b.constant(S::Long, static_cast<double>(first + i)));
      loops.push_back(b.loop);
    }
    return compile(loops);
  };
  int64_t n = 0;
  for (; n < 3000; n += 100) {
    make(n);
  }
  const int64_t before = resident_pages();
  for (; n < 6000; n += 100) {
    make(n);
  }
  EXPECT_LT(resident_pages() - before, 1500);  // 3000 kernels would be a page each at least, and their modules more
}

TEST(Kernel, LoopsOfAllLengthsShareFlatCode) {
  const auto locate = [](const Loop& loop) { return find_code({loop})[0]; };
  const Located a = locate(scaled_copy(1000, 0.125, "a")), b = locate(scaled_copy(77, 0.125, "b"));
  EXPECT_EQ(a.code, b.code);
  EXPECT_EQ(a.length, 1000);
  EXPECT_EQ(b.length, 77);
  EXPECT_NE(a.code, locate(scaled_copy(1000, 0.25, "c")).code);
  LoopBuilder strided("strided", {50}, 1);
  strided.store(1, S::Float, {2}, strided.load(0, S::Float, {1}));
  EXPECT_EQ(locate(strided.loop).code->block, 0);
}

TEST(Kernel, FlatCodeIsRightAtEveryLength) {
  for (int64_t n = 2; n < 200; ++n) {
    LoopBuilder b("flat", {n}, 1);  // broadcasts, and counts
    const ExprId x = b.binary(Op::kMul, b.load(0, S::Float, {1}), b.load(1, S::Float, {0}));
    b.store(2, S::Float, {1}, b.binary(Op::kAdd, x, b.expr(Op::kCast, S::Float, b.index(0))));
    Memory m;
    m.add(S::Float, n);
    m.add(S::Float, 1);
    m.add(S::Float, n);
    expect_agrees(b.loop, m, {4, 1e-4});  // the product and the sum are rounded once
  }
}

TEST(Kernel, AGroupRunsAllItsLoops) {
  const int threads = at::get_num_threads();
  for (const int t : {1, 3}) {
    at::set_num_threads(t);
    std::vector<Loop> group;
    Memory m;
    std::vector<int64_t> lengths{1, 5, 300000, 64, 70001, 3};
    for (size_t i = 0; i < lengths.size(); ++i) {
      group.push_back(scaled_copy(lengths[i], static_cast<double>(i + 2), "part"));
      m.add(S::Float, std::vector<double>(lengths[i], 1));
      m.add(S::Float, std::vector<double>(lengths[i], 0));
    }
    // A reduction of one long row has several phases, and memory between them.
    LoopBuilder sum("sum", {1, 500000}, 1);
    sum.store(1, S::Float, {1, 0}, sum.unary(Op::kReduceSum, sum.load(0, S::Float, {0, 1})));
    group.push_back(sum.loop);
    m.add(S::Float, std::vector<double>(500000, 0.5));
    m.add(S::Float, std::vector<double>(1, 0));
    const auto kernels = compile(std::vector<std::vector<Loop>>{group});
    ASSERT_EQ(kernels.size(), 1u);
    EXPECT_EQ(group_name(group), "part_and_6_more");
    kernels[0]->run(m.pointers().data(), nullptr, nullptr);
    for (size_t i = 0; i < lengths.size(); ++i) {
      const float* y = m.data<float>(static_cast<uint32_t>(2 * i + 1));
      EXPECT_EQ(std::count(y, y + lengths[i], static_cast<float>(i + 2)), lengths[i]);
    }
    EXPECT_EQ(m.data<float>(static_cast<uint32_t>(2 * lengths.size() + 1))[0], 250000.0f);
    m.check_guards();
  }
  at::set_num_threads(threads);
}

TEST(Plan, MergesAndSortsDims) {
  LoopBuilder b("nhwc", {2, 3, 4, 5}, 4);  // written in the order n c h w over memory n h w c
  const std::vector<int64_t> strides{60, 1, 15, 3};
  b.store(1, S::Float, strides, b.unary(Op::kNeg, b.load(0, S::Float, strides)));
  const Plan plan = make_plan(b.loop, 64);
  EXPECT_EQ(plan.rank(), 1);
  EXPECT_EQ(plan.loop.sizes[0], 120);
  EXPECT_EQ(plan.loop.accesses[0].strides[0], 1);
}

TEST(Plan, ShortRowsBecomeColumns) {
  LoopBuilder b("short_rows", {10000, 3}, 1);
  b.store(1, S::Float, {1, 0}, b.unary(Op::kReduceSum, b.load(0, S::Float, {3, 1})));
  EXPECT_FALSE(make_plan(b.loop, 64).row_mode);
  LoopBuilder c("rows", {10000, 300}, 1);
  c.store(1, S::Float, {1, 0}, c.unary(Op::kReduceSum, c.load(0, S::Float, {300, 1})));
  EXPECT_TRUE(make_plan(c.loop, 64).row_mode);
}

}  // namespace
}  // namespace torch_hpu::codegen
