// Kernel counts of what fusion must join, and values of what it must keep apart.
#include "csrc/compiler/passes/fuse.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "csrc/compiler/lower.h"
#include "csrc/compiler/pass_table.h"
#include "test/cpp/compiler/recorder.h"

namespace torch_hpu {
namespace {

using at::Tensor;
using testing::check;
using testing::Counts;
using testing::Recorder;

Tensor randn(at::IntArrayRef sizes) {
  return at::randn(sizes);
}

class Fuse : public ::testing::Test {
 protected:
  Fuse() {
    at::manual_seed(7);
  }
  Recorder r;
};

TEST_F(Fuse, ChainOfPointwiseOpsIsOneKernel) {
  Tensor x = randn({13, 37});
  for (int i = 0; i < 12; ++i) {
    x = r.op("tanh", {r.op("mul.Scalar", {x, 1.5})});
  }
  r.observe(x);
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST_F(Fuse, BroadcastPermuteAndReshapeNeedNoCopies) {
  const Tensor x = randn({4, 6, 5}), bias = randn({5});
  const Tensor y = r.op("add.Tensor", {x, bias});                              // [4, 6, 5]
  const Tensor z = r.op("mul.Tensor", {randn({6, 4, 5}), y.transpose(0, 1)});  // [6, 4, 5]
  const Tensor w = r.op("relu", {z.view({24, 5})});
  const Tensor v = r.op("neg", {w.view({3, 2, 4, 5}).permute({3, 0, 2, 1})});
  r.observe(v);
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST_F(Fuse, CheapProducerIsRepeatedWhereItIsBroadcast) {
  const Tensor scale = r.op("add.Scalar", {randn({1, 8}), 1});
  r.observe(r.op("mul.Tensor", {randn({16, 8}), scale}));
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST_F(Fuse, ExpensiveProducerIsNot) {
  const Tensor scale = r.op("exp", {randn({1, 8})});
  r.observe(r.op("mul.Tensor", {randn({16, 8}), scale}));
  EXPECT_EQ(check(r), (Counts{2, 0, 0}));
}

TEST_F(Fuse, SliceOfALocalBufferIsNotTheWhole) {
  const Tensor y = r.op("exp", {randn({6, 8})});
  r.observe(r.op("neg", {y.slice(1, 2, 5)}));
  r.observe(r.op("mul.Scalar", {y.slice(0, 1, 6, 2), 3.0}));
  check(r);
}

TEST_F(Fuse, SiblingsOverOneInputAreOneKernel) {
  const Tensor x = randn({10, 20});
  for (const char* name : {"exp", "neg", "sigmoid"}) {
    r.observe(r.op(name, {x}));
  }
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST_F(Fuse, SoftmaxAndItsNeighboursAreOneKernel) {
  const Tensor x = r.op("mul.Scalar", {randn({8, 33}), 0.125});
  const Tensor masked = r.op("add.Tensor", {x, randn({8, 33})});
  const Tensor p = r.op("_softmax", {masked, 1, false});
  r.observe(r.op("mul.Scalar", {p, 2.0}));
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST_F(Fuse, LayerNormWithResidualIsOneKernel) {
  const Tensor x = randn({12, 40}), residual = randn({12, 40});
  const Tensor sum = r.op("add.Tensor", {x, residual});
  const auto norm = r.call("native_layer_norm", {sum, std::vector<int64_t>{40}, randn({40}), randn({40}), 1e-5});
  r.observe(r.op("gelu", {norm[0]}));
  r.observe(sum);
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST_F(Fuse, RowResultsMeetTheirRows) {
  const Tensor x = randn({9, 17});
  const Tensor mean = r.op("mean.dim", {x, std::vector<int64_t>{1}, true});
  const Tensor centered = r.op("sub.Tensor", {x, mean});
  const Tensor square = r.op("mul.Tensor", {centered, centered});
  const Tensor var = r.op("mean.dim", {square, std::vector<int64_t>{1}, true});
  const Tensor scale = r.op("rsqrt", {r.op("add.Scalar", {var, 1e-5})});
  r.observe(r.op("mul.Tensor", {centered, scale}));
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST_F(Fuse, ReductionOverTheFirstDim) {
  const Tensor x = randn({9, 17});
  const Tensor y = r.op("exp", {x});
  const Tensor sum = r.op("sum.dim_IntList", {y, std::vector<int64_t>{0}, false});
  r.observe(r.op("div.Tensor", {y, sum}));
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST_F(Fuse, ReductionOfAReductionKeepsItsOrder) {
  const Tensor x = randn({6, 7, 8});
  const Tensor rows = r.op("sum.dim_IntList", {r.op("exp", {x}), std::vector<int64_t>{2}, false});
  const Tensor columns = r.op("amax", {rows, std::vector<int64_t>{0}, false});
  r.observe(columns);
  r.observe(r.op("div.Tensor", {x, rows.unsqueeze(2)}));
  check(r);
}

// The index that argmax finds counts in the order of its own reduced dims, whatever order its neighbours have.
TEST_F(Fuse, ArgmaxCountsInItsOwnOrder) {
  const Tensor x = randn({5, 6, 7});
  const Tensor y = r.op("mul.Scalar", {x, 3.0});
  r.observe(y);
  r.observe(r.op("argmax", {y.view({5, 42}), 1, false}));
  r.observe(r.op("neg", {y.transpose(1, 2)}));
  check(r);
  Recorder other;
  const Tensor z = other.op("mul.Scalar", {x, 3.0});
  other.observe(other.op("neg", {z.transpose(1, 2)}));
  other.observe(other.op("argmax", {z.view({5, 42}), 1, false}));
  other.observe(other.op("argmax", {z, c10::IValue(), false}));
  check(other);
}

// A row of one element is a point: its neighbours' rows are not its own.
TEST_F(Fuse, ReductionOverOneElement) {
  const Tensor x = randn({17, 3, 1});
  const Tensor p = r.op("_softmax", {x, 2, false});
  const Tensor shifted = r.op("sub.Tensor", {p.view({51}), randn({51})});
  r.observe(r.op("_softmax", {shifted, 0, false}));
  r.observe(r.op("argmax", {x, 2, false}));
  EXPECT_EQ(check(r).extern_calls, 0);
}

// Every element of the reduced dim is the same byte in memory, yet each has its own place in the result.
TEST_F(Fuse, ReductionOverAnExpandedDim) {
  const Tensor x = randn({5, 1}).expand({5, 4});
  r.observe(r.op("_softmax", {x, 1, false}));
  r.observe(r.op("mean.dim", {x, std::vector<int64_t>{1}, false}));
  const auto norm = r.call("native_layer_norm", {x, std::vector<int64_t>{4}, Tensor(), Tensor(), 1e-5});
  r.observe(r.op("exp", {norm[0]}));
  EXPECT_EQ(check(r).extern_calls, 0);
}

TEST_F(Fuse, TransposedReaderOfAnInPlaceWrite) {
  const Tensor x = randn({8, 8});
  r.into(x, "add.Tensor", {x, x.t()});
  r.into(x, "mul.Tensor", {x, r.op("exp", {x.t()})});
  check(r);
}

TEST_F(Fuse, OverlappingSlicesKeepTheirOrder) {
  const Tensor x = randn({32});
  r.into(x.slice(0, 1, 32), "add.Tensor", {x.slice(0, 0, 31), x.slice(0, 1, 32)});
  r.into(x.slice(0, 0, 31), "mul.Scalar", {x.slice(0, 1, 32), 2.0});
  r.into(x.slice(0, 0, 16), "sub.Tensor", {x.slice(0, 16, 32), x.slice(0, 0, 16)});
  check(r);
}

TEST_F(Fuse, AReaderBetweenTwoWritesSeesTheFirst) {
  const Tensor x = randn({16}), out = randn({16});
  const Tensor t = r.op("mul.Scalar", {x, 2.0});
  const Tensor before = r.op("exp", {t});
  r.into(t, "add.Scalar", {t, 1});
  r.into(out, "add.Tensor", {before, t});
  r.into(t.slice(0, 0, 8), "neg", {t.slice(0, 8, 16)});
  r.into(out, "mul.Tensor", {out, t});
  r.observe(t);
  check(r);
}

TEST_F(Fuse, InputOverwrittenAfterItsReaderWasDeferred) {
  const Tensor x = randn({4, 8}), y = randn({4, 8});
  const Tensor old = r.op("add.Scalar", {x, 1});
  r.into(x, "mul.Scalar", {y, 3.0});  // `old` must not be computed after this
  r.observe(r.op("sub.Tensor", {old, x}));
  check(r);
  Recorder other;
  const Tensor a = other.op("add.Scalar", {x.slice(0, 0, 1), 1});  // broadcast below, so it would be repeated
  other.into(x, "mul.Scalar", {y, 3.0});
  other.observe(other.op("sub.Tensor", {y, a}));
  check(other);
}

// One parameter's update, as optimizers write it: in place over inputs, every op its own windows.
TEST_F(Fuse, OptimizerStepIsOneKernel) {
  const Tensor p = randn({6, 10}), grad = randn({6, 10}), momentum = randn({6, 10}), second = at::rand({6, 10});
  r.into(momentum, "lerp.Scalar", {momentum, grad, 0.1});
  r.into(second, "mul.Scalar", {second, 0.99});
  r.into(second, "addcmul", {second, grad, grad, 0.01});
  const Tensor denominator = r.op("add.Scalar", {r.op("sqrt", {second}), 1e-8});
  r.into(p, "addcdiv", {p, momentum, denominator, -0.1});
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

// Library calls keep their order with the loops around them, and read and write in place what the loops left.
TEST_F(Fuse, PerceptronOfLibraryCallsAndLoops) {
  Tensor x = randn({8, 16});
  for (int layer = 0; layer < 3; ++layer) {
    x = r.op("relu", {r.op("addmm", {randn({16}), x, randn({16, 16})})});
  }
  r.into(x, "mm", {x, randn({16, 16})});
  r.observe(r.op("tanh", {x}));
  const Counts c = check(r, 1e-4);
  EXPECT_EQ(c.library_calls + c.extern_calls, 4) << c;
  EXPECT_LE(c.kernels, 4) << c;
}

// Offsets of windows over inputs are arguments of a run. Those of an input that nobody writes may relate differently in the next run:
// a recipe recorded with x[2] twice must also compute x[2] and x[5].
TEST_F(Fuse, OffsetsOfUnwrittenInputsMoveBetweenRuns) {
  const Tensor x = randn({8, 16});
  const Tensor a = r.op("mul.Scalar", {x[2], 2.0}), b = r.op("exp", {x[2]});
  const Tensor c = r.op("add.Tensor", {a, b});
  r.observe(c);
  r.observe(b);
  const ir::Graph& g = r.graph();
  std::vector<int64_t> offsets;
  for (const ir::Window& w : g.windows) {
    offsets.push_back(w.offset);
  }
  offsets[g.nodes[1].args[0].index] = 5 * 16;  // exp reads x[5]
  const auto recipe = compiler::compile(g, compiler::Tier::kCompiled);
  const auto result = r.run(*recipe, offsets);
  ASSERT_EQ(result.outputs.size(), 3);  // x, b, c
  EXPECT_TRUE(at::allclose(result.outputs[1].first, at::exp(x[5])));
  EXPECT_TRUE(at::allclose(result.outputs[2].first, x[2] * 2.0 + at::exp(x[5])));
}

TEST_F(Fuse, LongChainsAreCutIntoLoopsOfBoundedSize) {
  Tensor x = randn({16}), y = randn({16});
  for (int i = 0; i < 4000; ++i) {
    x = r.op("add.Tensor", {x, y, 1});
  }
  r.observe(x);
  const Counts counts = check(r);
  EXPECT_GE(counts.kernels, 4000 / 320);  // merge() stops at 320 expressions
  EXPECT_LE(counts.kernels, 4000 / 160);
}

}  // namespace
}  // namespace torch_hpu
