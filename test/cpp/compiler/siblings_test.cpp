// Which products become one call, where their results go, and that the values stay ATen's.
#include "csrc/compiler/passes/siblings.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "test/cpp/compiler/recorder.h"

namespace torch_hpu {
namespace {

using at::Tensor;
using testing::check;
using testing::Counts;
using testing::Recorder;

class Siblings : public ::testing::Test {
 protected:
  Siblings() {
    at::manual_seed(17);
  }
  // [L, 4 * E] -> [4, L, E]
  static Tensor heads(const Tensor& x) {
    return x.view({x.size(0), 4, x.size(1) / 4}).transpose(0, 1);
  }
  // Something that is no tail of a product.
  Tensor joined(const Tensor& a, const Tensor& b) {
    return r.op("mul.Tensor", {r.op("exp", {a}), r.op("exp", {b})});
  }
  Recorder r;
};

TEST_F(Siblings, QueryKeyAndValueAreOneCall) {
  for (bool bias : {true, false}) {
    r = Recorder();
    const Tensor x = at::randn({6, 16});
    const Tensor q = heads(r.linear(x, 16, bias)), k = heads(r.linear(x, 16)), v = heads(r.linear(x, 16, bias));
    r.observe(r.op("bmm", {r.op("bmm", {q, k.transpose(1, 2)}), v}));
    const Counts c = check(r);
    EXPECT_EQ(c.library_calls, 3U) << bias;  // one for the three, two of the attention
  }
}

TEST_F(Siblings, WidthsMayDiffer) {
  const Tensor x = at::randn({5, 16});
  const Tensor a = r.linear(x, 24), b = r.linear(x, 8), c = r.linear(x, 8, false);  // 40 columns, of at most 64
  r.observe(r.op("mul.Tensor", {joined(a.slice(1, 8, 16), b), r.op("exp", {c})}));
  EXPECT_EQ(check(r), (Counts{1, 1, 0}));
}

TEST_F(Siblings, NotWhenReadByIndex) {
  const Tensor x = at::randn({5, 16}), a = r.linear(x, 8), b = r.linear(x, 8);
  r.observe(joined(a, r.op("flip", {b, std::vector<int64_t>{1}})));
  EXPECT_EQ(check(r).library_calls, 2U);
}

TEST_F(Siblings, NotWhenSomebodyReadsTheResultAfterTheGraph) {
  const Tensor x = at::randn({5, 16}), a = r.linear(x, 8), b = r.linear(x, 8);
  r.observe(a);
  r.observe(joined(a, b));
  EXPECT_EQ(check(r).library_calls, 2U);
}

TEST_F(Siblings, NotWithWeightsThatTheGraphChanges) {
  const Tensor x = at::randn({5, 16}), w = at::randn({8, 16}), v = at::randn({8, 16});
  const Tensor a = r.op("linear", {x, w}), b = r.op("linear", {x, v});
  r.observe(joined(a, b));
  r.into(w, "mul.Scalar", {w, 0.5});
  EXPECT_EQ(check(r).library_calls, 2U);
}

TEST_F(Siblings, NotOfDifferentOperands) {
  const Tensor x = at::randn({5, 16}), a = r.linear(x, 8);
  r.into(x, "exp", {x});
  const Tensor b = r.linear(x, 8);
  r.observe(joined(a, b));
  EXPECT_EQ(check(r).library_calls, 2U);
}

TEST_F(Siblings, NotMoreThanTheOperandIsWorth) {
  const Tensor x = at::randn({5, 8});
  Tensor sum = r.op("exp", {r.linear(x, 8)});
  for (int i = 0; i < 5; ++i) {  // results may be four times as wide as x
    sum = r.op("mul.Tensor", {sum, r.op("exp", {r.linear(x, 8)})});
  }
  r.observe(sum);
  EXPECT_EQ(check(r).library_calls, 2U);
}

TEST_F(Siblings, NotWithABiasPerRow) {
  const Tensor x = at::randn({8, 16});
  const auto product = [&] { return r.op("addmm", {at::randn({8, 1}), x, at::randn({16, 8}) * 0.1}); };
  const Tensor a = product(), b = product();
  r.observe(joined(a, b));
  EXPECT_EQ(check(r).library_calls, 2U);
}

TEST_F(Siblings, NotWhenReadAcrossRows) {
  const Tensor x = at::randn({4, 16}), a = r.linear(x, 6), b = r.linear(x, 6);
  r.observe(joined(a.view({3, 8}), b.view({3, 8})));
  EXPECT_EQ(check(r).library_calls, 2U);
}

}  // namespace
}  // namespace torch_hpu
