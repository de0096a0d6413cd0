// Loops as fusion makes them: chains of reductions, updates in place, indirect access, random numbers, run-time offsets.
#include <cmath>

#include "csrc/codegen/plan.h"
#include "csrc/support/philox.h"
#include "test/cpp/codegen/harness.h"
#include "test/cpp/codegen/widths.h"

namespace torch_hpu::codegen {
namespace {

class Fused : public Widths {};
INSTANTIATE_TEST_SUITE_P(Bytes, Fused, ::testing::Values(64, 32, 16), [](const auto& info) { return std::to_string(info.param); });

using Strides = std::vector<int64_t>;

// softmax over the reduced dim, as [rows | n] (or [columns | n] with the kept dim contiguous).
LoopBuilder softmax(int64_t rows, int64_t n, bool columns, S t) {
  const Strides strides = columns ? Strides{1, rows} : Strides{n, 1};
  LoopBuilder b("softmax", {rows, n}, 1);
  const ExprId x = b.load(0, t, strides);
  const ExprId e = b.unary(Op::kExp, b.binary(Op::kSub, x, b.unary(Op::kReduceMax, x)));
  b.store(1, t, strides, b.binary(Op::kDiv, e, b.unary(Op::kReduceSum, e)));
  return b;
}

TEST_P(Fused, Softmax) {
  for (bool columns : {false, true}) {
    for (auto [rows, n] : {std::pair<int64_t, int64_t>{5, 1}, {3, 7}, {40, 100}, {33, 640}, {2, 70000}, {130, 20}}) {
      for (S t : {S::Float, S::BFloat16, S::Double}) {
        if (n > 1000 && t == S::Double) {
          continue;
        }
        Memory m;
        m.add(t, rows * n);
        m.add(t, rows * n);
        LoopBuilder b = softmax(rows, n, columns, t);
        expect_agrees(b.loop, m, {t == S::BFloat16 ? 1.0 : n > 1000 ? 60.0 : 20.0, 0});
      }
    }
  }
}

TEST_P(Fused, SoftmaxKeepsTheExponentials) {
  const Plan rows = make_plan(softmax(100, 1000, false, S::Float).loop, 64);
  ASSERT_EQ(rows.saved.size(), 1u);
  EXPECT_EQ(rows.saved[0].pass, 2);
  EXPECT_EQ(make_plan(softmax(100, 100000, false, S::Float).loop, 64).saved.size(), 0u);  // too long for the stack
}

TEST_P(Fused, LayerNormWithResidual) {
  for (int64_t n : {1, 5, 64, 768, 1000}) {
    const int64_t rows = 9;
    Memory m;
    for (int i = 0; i < 2; ++i) {
      m.add(S::Float, rows * n);
    }
    m.add(S::Float, n);         // weight
    m.add(S::Float, n);         // bias
    m.add(S::Float, rows * n);  // sum, kept for the backward
    m.add(S::Float, rows * n);
    m.add(S::Float, rows);
    m.add(S::Float, rows);
    LoopBuilder b("layer_norm", {rows, n}, 1);
    const ExprId x = b.binary(Op::kAdd, b.load(0, S::Float, {n, 1}), b.load(1, S::Float, {n, 1}));
    const ExprId count = b.constant(S::Float, static_cast<double>(n));
    const ExprId mean = b.binary(Op::kDiv, b.unary(Op::kReduceSum, x), count);
    const ExprId centred = b.binary(Op::kSub, x, mean);
    const ExprId var = b.binary(Op::kDiv, b.unary(Op::kReduceSum, b.binary(Op::kMul, centred, centred)), count);
    const ExprId rstd = b.unary(Op::kRsqrt, b.binary(Op::kAdd, var, b.constant(S::Float, 1e-5)));
    const ExprId y =
        b.expr(Op::kFma, S::Float, b.binary(Op::kMul, centred, rstd), b.load(2, S::Float, {0, 1}), b.load(3, S::Float, {0, 1}));
    b.store(4, S::Float, {n, 1}, x);
    b.store(5, S::Float, {n, 1}, y);
    b.store(6, S::Float, {1, 0}, mean);
    b.store(7, S::Float, {1, 0}, rstd);
    expect_agrees(b.loop, m, {16, 3e-6 * (n == 1 ? 1000 : 1)});
  }
}

TEST_P(Fused, CrossEntropyPicksItsTarget) {
  const int64_t rows = 30, n = 100;
  Memory m;
  m.add(S::Float, rows * n);
  std::vector<int64_t> target(rows);
  for (int64_t& t : target) {
    t = static_cast<int64_t>(m.random() % n);
  }
  m.add_integers(S::Long, target);
  m.add(S::Float, rows);
  LoopBuilder b("cross_entropy", {rows, n}, 1);
  const ExprId x = b.load(0, S::Float, {n, 1});
  const ExprId max = b.unary(Op::kReduceMax, x);
  const ExprId sum = b.unary(Op::kReduceSum, b.unary(Op::kExp, b.binary(Op::kSub, x, max)));
  const ExprId hit =
      b.load_at(b.access(0, S::Float, {n, 0}), b.expr(Op::kCheckIndex, S::Long, b.load(1, S::Long, {1, 0}), kNoExpr, kNoExpr, n));
  b.store(2, S::Float, {1, 0}, b.binary(Op::kSub, b.binary(Op::kAdd, b.unary(Op::kLog, sum), max), hit));
  expect_agrees(b.loop, m, {16, 1e-6});
  store_reference(m.pointers()[1] + 8 * 17, S::Long, {n, 0});
  EXPECT_EQ(expect_agrees(b.loop, m), "index out of range in cross_entropy");
}

TEST_P(Fused, GatherAndScatter) {
  for (S t : {S::Float, S::Half, S::Byte, S::Long, S::Bool}) {
    for (int64_t n : {3, 16, 50}) {
      const int64_t rows = 21, table = 40;
      Memory m;
      m.add(t, table * n);
      std::vector<int64_t> index(rows), order(rows * n);
      for (int64_t& i : index) {
        i = static_cast<int64_t>(m.random() % table) - (m.random() % 2 ? table : 0);
      }
      for (size_t i = 0; i < order.size(); ++i) {
        order[i] = static_cast<int64_t>(order.size() - 1 - i);
      }
      m.add_integers(S::Long, index);
      m.add(t, rows * n);
      m.add_integers(S::Long, order);
      m.add(t, rows * n);
      m.add(t, rows * n);
      LoopBuilder b("embedding", {rows, n}, 2);
      const ExprId row = b.expr(Op::kCheckIndex, S::Long, b.load(1, S::Long, {1, 0}), kNoExpr, kNoExpr, table);
      const ExprId x = b.load_at(b.access(0, t, {0, 1}), b.binary(Op::kMul, row, b.constant(S::Long, static_cast<double>(n))));
      b.store(2, t, {n, 1}, x);  // whole rows
      const ExprId at = b.expr(Op::kCheckIndex, S::Long, b.load(3, S::Long, {n, 1}), kNoExpr, kNoExpr, rows * n);
      b.store(b.access(4, t, {0, 0}), x, at);  // element by element, reversed
      b.store(5, t, {n, 1}, b.load_at(b.access(0, t, {0, 0}), at));
      EXPECT_EQ(expect_agrees(b.loop, m), "");
    }
  }
}

TEST_P(Fused, BadIndicesFail) {
  for (int64_t bad : {-41, 40, 1000000}) {
    for (int64_t n : {1, 50}) {
      Memory m;
      m.add(S::Float, 40);
      std::vector<int64_t> index(n, 3);
      index[n - 1] = bad;
      m.add_integers(S::Long, index);
      m.add(S::Float, n);
      LoopBuilder b("take", {n}, 1);
      const ExprId at = b.expr(Op::kCheckIndex, S::Long, b.load(1, S::Long, {1}), kNoExpr, kNoExpr, 40);
      b.store(2, S::Float, {1}, b.load_at(b.access(0, S::Float, {0}), at));
      EXPECT_EQ(expect_agrees(b.loop, m), "index out of range in take");
    }
  }
}

TEST_P(Fused, InPlace) {  // an optimizer step: parameters and state updated where they lie
  for (int64_t n : {1, 15, 1000}) {
    Memory m;
    for (int i = 0; i < 3; ++i) {
      m.add(S::Float, n);
    }
    LoopBuilder b("sgd", {n}, 1);
    const uint32_t p = b.access(0, S::Float, {1}), v = b.access(2, S::Float, {1});
    const ExprId lr = b.scalar(ir::ScalarCategory::kFloat, S::Float), mu = b.scalar(ir::ScalarCategory::kFloat, S::Float);
    const ExprId velocity = b.binary(Op::kAdd, b.binary(Op::kMul, b.load(v), mu), b.load(1, S::Float, {1}));
    b.store(v, velocity);
    b.store(p, b.binary(Op::kSub, b.load(p), b.binary(Op::kMul, velocity, lr)));
    std::vector<ir::ScalarValue> scalars(2);
    scalars[0].d = 0.1;
    scalars[1].d = 0.9;
    expect_agrees(b.loop, m, {2, 1e-6}, {}, scalars);
  }
  for (bool columns : {false, true}) {  // a row is read three times before it is overwritten
    Memory m;
    m.add(S::Float, 40 * 50);
    LoopBuilder b = softmax(40, 50, columns, S::Float);
    b.loop.accesses[1].buffer = 0;
    expect_agrees(b.loop, m, {20, 0});
  }
}

TEST_P(Fused, OffsetsAtRunTime) {
  Memory m;
  m.add(S::Float, 100);
  m.add(S::BFloat16, 100);
  LoopBuilder b("copy_slice", {4, 10}, 2);
  b.store(b.access(1, S::BFloat16, {10, 1}, 3, 1), b.load(b.access(0, S::Float, {20, 2}, 1, 0)));
  expect_agrees(b.loop, m, {0, 0}, {7, 40});
}

TEST_P(Fused, TransposesAndFlips) {
  for (S t : {S::Float, S::BFloat16, S::Double, S::Byte}) {
    for (auto [h, w] : {std::pair<int64_t, int64_t>{64, 64}, {100, 37}, {3, 200}, {200, 3}, {128, 65}}) {
      Memory m;
      m.add(t, h * w);
      m.add(t, h * w);
      m.add(t, h * w);
      LoopBuilder b("transpose", {h, w}, 2);
      const ExprId x = b.load(0, t, {1, h});
      b.store(1, t, {w, 1}, x);
      b.store(2, t, {w, 1}, b.load(b.access(0, t, {-w, -1}, h * w - 1)));
      expect_agrees(b.loop, m, {0, 0});
      LoopBuilder c("transpose_only", {h, w}, 2);
      c.store(1, t, {w, 1}, c.load(0, t, {1, h}));
      c.store(2, t, {w, 1}, c.load(0, t, {0, 0}));  // does not move along the dim that is nested
      expect_agrees(c.loop, m, {0, 0});
    }
  }
}

TEST_P(Fused, IndexArithmetic) {  // a causal mask, arange, and coordinates of every dim
  Memory m;
  const int64_t h = 20, n = 33;
  m.add(S::Float, h * n * n);
  m.add(S::Float, h * n * n);
  m.add(S::Long, h * n * n);
  m.add(S::Long, h);
  LoopBuilder b("mask", {h, n, n}, 3);
  const ExprId i = b.index(1), j = b.index(2);
  const ExprId x = b.load(0, S::Float, {n * n, n, 1});
  b.store(1, S::Float, {n * n, n, 1}, b.select(b.compare(Op::kLe, j, i), x, b.constant(S::Float, -1e4)));
  const ExprId linear =
      b.binary(Op::kAdd, b.binary(Op::kMul, b.index(0), b.constant(S::Long, n * n)),
               b.binary(Op::kAdd, b.binary(Op::kMul, i, b.constant(S::Long, n)), b.binary(Op::kSub, j, b.constant(S::Long, 5))));
  b.store(2, S::Long, {n * n, n, 1}, linear);
  expect_agrees(b.loop, m, {0, 0});
}

TEST_P(Fused, Random) {
  for (int64_t n : {1, 37, 68, 1000}) {  // with first, whole blocks and parts of blocks
    for (int64_t first : {0, 3, 8}) {
      Memory m;
      m.add(S::Float, 5 * n);
      m.add(S::Double, 5 * n);
      m.add(S::Long, 5 * n);
      LoopBuilder b("random", {5, n}, 2);
      b.loop.scalars = {ir::ScalarCategory::kInt, ir::ScalarCategory::kInt};
      b.loop.scalar_ids = {0, 1};
      b.loop.rng = 0;
      const ExprId element = b.binary(Op::kAdd, b.binary(Op::kMul, b.index(0), b.constant(S::Long, static_cast<double>(n))),
                                      b.binary(Op::kAdd, b.index(1), b.constant(S::Long, static_cast<double>(first))));
      b.store(0, S::Float, {n, 1}, b.expr(Op::kUniform, S::Float, element));
      b.store(1, S::Double, {n, 1}, b.expr(Op::kUniform, S::Double, element));
      b.store(2, S::Long, {n, 1}, b.expr(Op::kRandomBits, S::Long, element));
      std::vector<ir::ScalarValue> scalars(2);
      scalars[0].i = 0x123456789ABCDEF;
      scalars[1].i = 0x1FFFFFFF0;
      expect_agrees(b.loop, m, {0, 0}, {}, scalars);
      EXPECT_EQ(m.data<float>(0)[n], philox_uniform_float(0x123456789ABCDEF, 0x1FFFFFFF0, static_cast<uint64_t>(n + first)));
    }
  }
}

TEST_P(Fused, ManyStoresOfAWideGraph) {  // as a horizontally fused optimizer
  const int64_t n = 100;
  Memory m;
  LoopBuilder b("foreach", {n}, 1);
  for (uint32_t i = 0; i < 40; ++i) {
    m.add(S::Float, n);
    const uint32_t a = b.access(i, S::Float, {1});
    b.store(a, b.binary(Op::kMul, b.load(a), b.constant(S::Float, 0.5)));
  }
  expect_agrees(b.loop, m, {0, 0});
}

}  // namespace
}  // namespace torch_hpu::codegen
