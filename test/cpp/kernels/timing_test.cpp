#include "csrc/kernels/timing.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace torch_hpu
