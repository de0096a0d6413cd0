#include "csrc/kernels/timing.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "csrc/support/exit.h"

namespace torch_hpu {
namespace {

TEST(Choices, AreMadeOncePerProblemAndNumberOfThreads) {
  kernels::Choices choices;
  size_t made = 0;
  const auto choice = [&](const char* problem, int threads) {
    at::set_num_threads(threads);
    return choices.get(problem, [&] { return ++made; });
  };
  const int before = at::get_num_threads();
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(choice("a problem of this test", 1), 1);
    EXPECT_EQ(choice("a problem of this test", 2), 2);
    EXPECT_EQ(choice("another problem of this test", 2), 3);
  }
  at::set_num_threads(before);
}

TEST(Choices, AreMadeOnceByThreadsThatAskAtTheSameTime) {
  kernels::Choices choices;
  std::atomic<size_t> made{0};
  std::array<size_t, 4> got{};
  std::vector<std::thread> threads;
  for (size_t& result : got) {
    threads.emplace_back([&] {
      result = choices.get("a problem that all threads have", [&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return ++made;
      });
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(got, (std::array<size_t, 4>{1, 1, 1, 1}));
}

TEST(Choices, AreNotMadeBesideOtherWork) {
  run_aside([] {
    kernels::Choices choices;
    EXPECT_THROW(choices.get("a problem of a job", []() -> size_t { return 1; }), c10::Error);
  }).wait();
}

TEST(Jobs, ThoseThatAJobStartsAreWaitedFor) {
  std::atomic<bool> inner{false};
  run_aside([&] {
    run_aside([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      inner = true;
    });
    EXPECT_TRUE(in_job());
  });
  wait_for_jobs();
  EXPECT_TRUE(inner);
  EXPECT_FALSE(in_job());
}

TEST(FastestRuns, CandidatesTakeTurns) {
  std::vector<int> order;
  const auto seconds = kernels::fastest_runs({[&] { order.push_back(0); }, [&] { order.push_back(1); }}, 3);
  EXPECT_EQ(seconds.size(), 2);
  order.erase(std::unique(order.begin(), order.end()), order.end());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 0, 1}));
  int runs = 0;
  const auto once = kernels::fastest_runs({[&] {
                                            ++runs;
                                            std::this_thread::sleep_for(std::chrono::milliseconds(2));
                                          }},
                                          1);
  EXPECT_EQ(runs, 2);  // one to warm up
  EXPECT_GE(once[0], 2e-3);
}

}  // namespace
}  // namespace torch_hpu
