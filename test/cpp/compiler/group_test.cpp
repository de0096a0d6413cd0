// Which loops run side by side as one kernel, and which must not.
#include "csrc/compiler/passes/group.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "test/cpp/compiler/recorder.h"

namespace torch_hpu {
namespace {

using at::Tensor;
using testing::check;
using testing::Counts;
using testing::Recorder;

TEST(Group, UpdatesOfManyTensorsAreOneKernel) {
  Recorder r;
  for (int64_t i = 1; i <= 30; ++i) {
    const Tensor parameter = at::randn({i, i % 5 + 1}), gradient = at::randn({i, i % 5 + 1});
    r.into(parameter, "add.Tensor", {parameter, r.op("mul.Scalar", {gradient, -0.1})});
  }
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST(Group, SmallNeighboursAreOneKernel) {
  Recorder r;
  for (int64_t i = 3; i < 9; ++i) {
    r.observe(r.op("sum.dim_IntList", {at::randn({i, 20}), c10::IntArrayRef({0}), false}));
  }
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST(Group, AReaderComesAfterItsWriter) {
  Recorder r;
  const Tensor a = at::randn({6, 7}), b = at::randn({9});
  const Tensor total = r.op("sum", {a});  // 42 points to one: b's loop cannot take it in
  r.into(b, "add.Tensor", {b, total});
  const Tensor c = r.op("mean", {b});
  r.into(a, "mul.Tensor", {a, c});
  check(r);  // values
}

TEST(Group, AWriterComesAfterTheReadersOfTheOldValue) {
  Recorder r;
  const Tensor a = at::randn({8}), b = at::randn({3, 8}), c = at::randn({4});
  r.into(b, "mul.Tensor", {b, a});
  r.into(a, "copy", {a, at::ones({8})});
  r.into(c, "add.Tensor", {c, r.op("sum", {b})});
  r.into(b, "neg", {b});
  check(r);
}

TEST(Group, LargeTemporariesStayApart) {
  Recorder r;
  for (int i = 0; i < 2; ++i) {
    r.observe(r.op("exp", {at::randn({300, 400 + i})}));
  }
  EXPECT_EQ(check(r), (Counts{2, 0, 0}));
}

}  // namespace
}  // namespace torch_hpu
