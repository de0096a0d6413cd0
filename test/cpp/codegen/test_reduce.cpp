// Reductions: every op and dtype over the shapes that take different code, NaN and ties, empty spaces, error of long sums.
#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/sum.h>

#include <cmath>

#include "csrc/codegen/op_traits.h"
#include "csrc/codegen/plan.h"
#include "test/cpp/codegen/harness.h"
#include "test/cpp/codegen/widths.h"

namespace torch_hpu::codegen {
namespace {

class Reduce : public Widths {};
INSTANTIATE_TEST_SUITE_P(Bytes, Reduce, ::testing::Values(64, 32, 16), [](const auto& info) { return std::to_string(info.param); });

constexpr Op kReduces[] = {Op::kReduceSum, Op::kReduceProd, Op::kReduceMin, Op::kReduceMax, Op::kReduceArgMin, Op::kReduceArgMax};
constexpr S kAll[] = {S::Bool, S::Byte, S::Char, S::Short, S::Int, S::Long, S::Float, S::Double};

struct Shape {
  std::vector<int64_t> sizes;  // of a contiguous tensor
  std::vector<int> reduced;    // its reduced dims
};
const Shape kShapes[] = {
    {{1}, {0}},
    {{7}, {0}},
    {{1000}, {0}},          // all of it
    {{3, 100}, {1}},        // rows
    {{100, 3}, {1}},        // short rows
    {{100, 37}, {0}},       // columns
    {{37, 5}, {0}},         // few columns
    {{5, 33, 70}, {1}},     // columns in the middle
    {{5, 33, 70}, {0, 2}},  // batch norm
    {{4, 6, 5, 9}, {1, 3}},
    {{40007}, {0}},     // split: a row
    {{4, 40007}, {1}},  // split: rows
    {{3001, 20}, {0}},  // split: columns
};

// A loop over the dims of `shape`, kept ones first, that loads x (buffer 0).
LoopBuilder over(const Shape& shape, S t, ExprId& x, std::vector<int64_t>& out_strides) {
  const int rank = static_cast<int>(shape.sizes.size());
  std::vector<int64_t> strides(rank, 1), sizes, in;
  for (int d = rank - 2; d >= 0; --d) {
    strides[d] = strides[d + 1] * shape.sizes[d + 1];
  }
  const auto is_reduced = [&](int d) { return std::find(shape.reduced.begin(), shape.reduced.end(), d) != shape.reduced.end(); };
  for (bool want : {false, true}) {
    for (int d = 0; d < rank; ++d) {
      if (is_reduced(d) == want) {
        sizes.push_back(shape.sizes[d]);
        in.push_back(strides[d]);
      }
    }
  }
  const auto kept = static_cast<uint32_t>(rank - shape.reduced.size());
  out_strides.assign(rank, 0);
  int64_t step = 1;
  for (int d = static_cast<int>(kept) - 1; d >= 0; --d) {
    out_strides[d] = step;
    step *= sizes[d];
  }
  LoopBuilder b("reduce", sizes, kept);
  x = b.load(0, t, in);
  return b;
}

int64_t points(const std::vector<int64_t>& sizes) {
  int64_t n = 1;
  for (int64_t s : sizes) {
    n *= s;
  }
  return n;
}

TEST_P(Reduce, EveryOpDtypeAndShape) {
  for (const Shape& shape : kShapes) {
    for (S t : kAll) {
      if (points(shape.sizes) > 10000 && t != S::Float && t != S::Long && t != S::Bool) {
        continue;
      }
      Memory m;
      const int64_t n = points(shape.sizes);
      m.add(t, n);
      ExprId x = 0;
      std::vector<int64_t> out;
      LoopBuilder b = over(shape, t, x, out);
      for (Op op : kReduces) {  // all in one loop
        const S r = is_arg_reduce(op) ? S::Long : t;
        const uint32_t buffer = m.add(r, n);
        b.store(buffer, r, out, b.expr(op, r, x));
      }
      const double terms = static_cast<double>(n);
      expect_agrees(b.loop, m, {t == S::Float ? 200.0 : 200.0, t == S::Float ? 1e-7 * terms : t == S::Double ? 1e-15 * terms : 0});
    }
  }
}

TEST_P(Reduce, NanAndTies) {
  for (const Shape& shape : kShapes) {
    const int64_t n = points(shape.sizes);
    for (int variant = 0; variant < 4; ++variant) {
      Memory m;
      std::vector<double> v(n);
      for (double& x : v) {
        x = static_cast<double>(m.random() % 3);
        if (variant == 1 && m.random() % 50 == 0) {
          x = NAN;
        }
        if (variant == 2) {
          x = -INFINITY;
        }
        if (variant == 3) {
          x = m.random() % 2 ? INFINITY : 1;
        }
      }
      m.add(S::Float, v);
      ExprId x = 0;
      std::vector<int64_t> out;
      LoopBuilder b = over(shape, S::Float, x, out);
      for (Op op : {Op::kReduceMin, Op::kReduceMax, Op::kReduceArgMin, Op::kReduceArgMax}) {
        const S r = is_arg_reduce(op) ? S::Long : S::Float;
        b.store(m.add(r, n), r, out, b.expr(op, r, x));
      }
      expect_agrees(b.loop, m, {0, 0});
    }
  }
}

TEST_P(Reduce, NothingYieldsTheIdentity) {
  for (S t : kAll) {
    Memory m;
    m.add(t, 1);
    m.add(t, 5);
    m.add(t, 5);
    LoopBuilder b("empty", {5, 0}, 1);
    const ExprId x = b.load(0, t, {0, 1});
    b.store(1, t, {1, 0}, b.expr(Op::kReduceSum, t, x));
    b.store(2, t, {1, 0}, b.expr(Op::kReduceProd, t, x));
    expect_agrees(b.loop, m, {0, 0});
    EXPECT_EQ(m.at(1, 4).i, 0);
  }
  Memory m;  // no rows: nothing happens
  m.add(S::Float, 1);
  m.add(S::Float, 1);
  LoopBuilder b("no_rows", {0, 5}, 1);
  b.store(1, S::Float, {1, 0}, b.unary(Op::kReduceSum, b.load(0, S::Float, {5, 1})));
  expect_agrees(b.loop, m, {0, 0});
}

TEST_P(Reduce, OperandAtRowLevel) {  // a row value summed over the row: times its length
  for (bool columns : {false, true}) {
    Memory m;
    m.add(S::Float, 40);
    m.add(S::Float, 40 * 50);
    m.add(S::Float, 40);
    LoopBuilder b("times", {40, 50}, 1);
    const ExprId r = b.load(0, S::Float, {1, 0});
    const ExprId x = b.load(1, S::Float, columns ? std::vector<int64_t>{1, 40} : std::vector<int64_t>{50, 1});
    const ExprId sum = b.unary(Op::kReduceSum, r);
    b.store(2, S::Float, {1, 0}, b.binary(Op::kAdd, sum, b.unary(Op::kReduceMax, x)));
    expect_agrees(b.loop, m, {64, 1e-4});
  }
}

// Sums of a million terms stay as near as ATen's.
TEST_P(Reduce, LongSumsAreAccurate) {
  for (const Shape& shape : {Shape{{1 << 20}, {0}}, Shape{{64, 1 << 14}, {1}}, Shape{{1 << 16, 24}, {0}}}) {
    const int64_t n = points(shape.sizes);
    Memory m;
    std::vector<double> v(n);
    for (double& x : v) {
      x = static_cast<double>(static_cast<float>((m.random() >> 11) * 0x1p-53));  // positive: every error counts
    }
    m.add(S::Float, v);
    m.add(S::Float, n);
    ExprId x = 0;
    std::vector<int64_t> out;
    LoopBuilder b = over(shape, S::Float, x, out);
    b.store(1, S::Float, out, b.unary(Op::kReduceSum, x));
    compile({b.loop})[0]->run(m.pointers().data(), nullptr, nullptr);
    const int64_t rows = n / (shape.reduced[0] == 0 ? shape.sizes[0] : shape.sizes[1]);
    const at::Tensor aten = at::sum(at::from_blob(m.data<float>(0), shape.sizes, at::kFloat), shape.reduced[0]).contiguous();
    for (int64_t r = 0; r < rows; ++r) {
      double exact = 0;
      for (int64_t k = 0; k < n / rows; ++k) {
        exact += v[shape.reduced[0] == 0 ? k * rows + r : r * (n / rows) + k];
      }
      const double ours = std::fabs(m.at(1, r).d - exact) / exact;
      const double theirs = std::fabs(aten.flatten()[r].item<float>() - exact) / exact;
      EXPECT_LE(ours, std::max(2 * theirs, 4e-7)) << "row " << r;
    }
  }
}

TEST_P(Reduce, ResultsDoNotDependOnThreads) {
  const int threads = at::get_num_threads();
  for (const Shape& shape : kShapes) {
    const int64_t n = points(shape.sizes);
    Memory m;
    m.add(S::Float, n);
    m.add(S::Float, n);
    ExprId x = 0;
    std::vector<int64_t> out;
    LoopBuilder b = over(shape, S::Float, x, out);
    b.store(1, S::Float, out, b.unary(Op::kReduceSum, b.unary(Op::kExp, x)));
    const auto kernel = compile({b.loop})[0];
    Memory other = m;
    at::set_num_threads(1);
    kernel->run(m.pointers().data(), nullptr, nullptr);
    at::set_num_threads(3);
    kernel->run(other.pointers().data(), nullptr, nullptr);
    m.expect_near(other, 0, 0, "one thread, three threads: ");
  }
  at::set_num_threads(threads);
}

TEST(ReducePlan, SplitsFewLongRows) {
  ExprId x = 0;
  std::vector<int64_t> out;
  LoopBuilder b = over({{1 << 20}, {0}}, S::Float, x, out);
  b.store(1, S::Float, out, b.unary(Op::kReduceSum, x));
  const Plan one_row = make_plan(b.loop, 64);
  EXPECT_TRUE(one_row.row_mode);
  EXPECT_GE(one_row.chunks, 16);
  LoopBuilder c = over({{1 << 12, 256}, {0}}, S::Float, x, out);
  c.store(1, S::Float, out, c.unary(Op::kReduceSum, x));
  const Plan columns = make_plan(c.loop, 64);
  EXPECT_FALSE(columns.row_mode);
  EXPECT_GE(columns.chunks, 4);
  LoopBuilder d = over({{4096, 256}, {1}}, S::Float, x, out);
  d.store(1, S::Float, out, d.unary(Op::kReduceSum, x));
  EXPECT_EQ(make_plan(d.loop, 64).chunks, 1);
}

}  // namespace
}  // namespace torch_hpu::codegen
