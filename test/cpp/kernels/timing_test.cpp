#include "csrc/kernels/timing.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

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
