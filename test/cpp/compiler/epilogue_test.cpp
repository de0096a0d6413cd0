// Which pointwise tails become part of a library call, and that the values stay ATen's.
#include "csrc/compiler/passes/epilogue.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "test/cpp/compiler/recorder.h"

namespace torch_hpu {
namespace {

using at::Tensor;
using testing::check;
using testing::Counts;
using testing::Recorder;

class Epilogue : public ::testing::Test {
 protected:
  Epilogue() {
    at::manual_seed(11);
  }
  Tensor convolution(const Tensor& x, int64_t out, int64_t kernel, int64_t stride = 1) {
    const std::vector<int64_t> strides{stride, stride}, padding{kernel / 2, kernel / 2}, ones{1, 1}, zeros{0, 0};
    return r.op("convolution",
                {x, at::randn({out, x.size(1), kernel, kernel}) * 0.1, c10::IValue(), strides, padding, ones, false, zeros, int64_t{1}});
  }
  Tensor batch_norm(const Tensor& x) {
    const std::vector<int64_t> channels{x.size(1), 1, 1};
    const Tensor invstd = r.op("rsqrt", {r.op("add.Scalar", {at::rand(channels) + 0.5, 1e-5})}),
                 scale = r.op("mul.Tensor", {invstd, at::randn(channels)});
    const Tensor shift = r.op("sub.Tensor", {at::randn(channels), r.op("mul.Tensor", {at::randn(channels), scale})});
    return r.op("add.Tensor", {r.op("mul.Tensor", {x, scale}), shift});
  }
  Recorder r;
};

TEST_F(Epilogue, ActivationsAreDoneByTheProduct) {
  for (const char* name : {"relu", "silu", "sigmoid", "tanh"}) {
    r = Recorder();
    r.observe(r.op(name, {r.linear(at::randn({5, 16}), 12)}));
    EXPECT_EQ(check(r), (Counts{0, 1, 0})) << name;
  }
  for (const char* approximation : {"none", "tanh"}) {
    r = Recorder();
    r.observe(r.op("gelu", {r.linear(at::randn({96, 64}), 80), approximation}));
    EXPECT_EQ(check(r), (Counts{0, 1, 0})) << approximation;
  }
}

TEST_F(Epilogue, LayersOfAnMlpAreOneCallEach) {
  Tensor x = at::randn({3, 32});
  for (int i = 0; i < 6; ++i) {
    x = r.op("relu", {r.linear(x, 32)});
  }
  r.observe(x);
  EXPECT_EQ(check(r), (Counts{0, 6, 0}));
}

TEST_F(Epilogue, BiasScaleAndResidualInAnyOrder) {
  const Tensor x = at::randn({2, 7, 24}), residual = at::randn({2, 7, 20});
  const Tensor y = r.op("add.Tensor", {r.linear(x, 20, false), at::randn({20})});
  const Tensor z = r.op("sub.Tensor", {r.op("mul.Tensor", {y, at::randn({7, 1})}), at::randn({2, 1, 20})});
  r.observe(r.op("add.Tensor", {residual, r.op("sigmoid", {z})}));
  // One kernel negates the subtrahend.
  EXPECT_EQ(check(r), (Counts{1, 1, 0}));
}

TEST_F(Epilogue, RunTimeScalarsBecomeOperands) {
  r.observe(r.op("mul.Scalar", {r.linear(at::randn({6, 8}), 8), 0.125}));
  EXPECT_EQ(check(r), (Counts{1, 1, 0}));
}

TEST_F(Epilogue, GatedUnitIsTwoProducts) {
  const Tensor x = at::randn({5, 16}), gate = r.op("silu", {r.linear(x, 24)}), up = r.linear(x, 24);
  r.observe(r.op("mul.Tensor", {gate, up}));
  EXPECT_EQ(check(r), (Counts{0, 2, 0}));
}

TEST_F(Epilogue, BasicBlockOfAResnetIsThreeSteps) {
  const Tensor x = r.op("relu", {at::randn({2, 16, 9, 9})});
  const Tensor y = r.op("relu", {batch_norm(convolution(x, 16, 3))});
  const Tensor z = r.op("relu", {r.op("add.Tensor", {batch_norm(convolution(y, 16, 3)), x})});
  r.observe(r.op("max_pool2d_with_indices", {z, std::vector<int64_t>{2, 2}, std::vector<int64_t>{2, 2}, std::vector<int64_t>{0, 0},
                                             std::vector<int64_t>{1, 1}, false}));
  // One kernel for the first relu, scales and shifts; two convolutions; the pool.
  EXPECT_EQ(check(r), (Counts{1, 3, 0}));
}

TEST_F(Epilogue, DownsamplingBlock) {
  const Tensor x = at::randn({1, 8, 10, 10});
  const Tensor y = r.op("relu", {batch_norm(convolution(x, 8, 3, 2))});
  const Tensor z = batch_norm(convolution(y, 16, 1)), shortcut = batch_norm(convolution(x, 16, 1, 2));
  r.observe(r.op("relu", {r.op("add.Tensor", {z, shortcut})}));
  EXPECT_EQ(check(r), (Counts{1, 3, 0}));
}

TEST_F(Epilogue, ResultThatSomebodyElseNeedsStays) {
  const Tensor y = r.linear(at::randn({6, 16}), 10);
  r.observe(y);
  r.observe(r.op("relu", {y}));
  EXPECT_EQ(check(r), (Counts{1, 1, 0}));
}

TEST_F(Epilogue, InPlaceChangesOfTheResult) {
  const Tensor y = r.linear(at::randn({6, 16}), 10);
  r.into(y, "add.Tensor", {y, at::randn({10})});
  r.into(y, "relu", {y});
  r.observe(y);
  EXPECT_EQ(check(r), (Counts{0, 1, 0}));
}

TEST_F(Epilogue, AnInputOfTheProductIsNotOverwritten) {
  const Tensor x = at::randn({8, 8});
  r.into(x, "relu", {r.linear(x, 8)});
  check(r);  // values
}

TEST_F(Epilogue, APartOfTheResultIsNotTheResult) {
  const Tensor y = r.linear(at::randn({6, 16}), 10);
  r.observe(r.op("relu", {y.slice(1, 0, 5)}));
  r.observe(r.op("tanh", {r.linear(at::randn({4, 16}), 6).t()}));
  EXPECT_EQ(check(r).library_calls, 2u);
}

// What ATen makes of NaN, infinities and signed zeros, by every kernel that a product may be given to.
TEST_F(Epilogue, NanAndInfinityPass) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const int64_t rows : {8, 512}) {
    for (const char* name : {"relu", "gelu", "silu", "sigmoid", "tanh"}) {
      r = Recorder();
      const Tensor x = at::zeros({rows, 64}), w = at::zeros({64, 64});
      w.select(1, 0).fill_(1);
      x.select(1, 0).copy_(at::tensor({std::nanf(""), infinity, -infinity, -1.0f, -0.0f, 0.0f, 2.0f, -1e-30f}).repeat({rows / 8}));
      const Tensor y = r.op(name, {r.op("linear", {x, w, c10::IValue()})});
      r.observe(y);
      r.observe(r.op("reciprocal", {y}));  // tells zeros apart
      EXPECT_EQ(check(r).library_calls, 1u) << name;
    }
  }
}

}  // namespace
}  // namespace torch_hpu
