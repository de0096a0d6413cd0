// Folded constants are what generated code computes, bit for bit.
#include "csrc/codegen/fold.h"

#include <bit>
#include <cmath>
#include <limits>

#include "csrc/codegen/op_traits.h"
#include "test/cpp/codegen/harness.h"

namespace torch_hpu::codegen {
namespace {

constexpr S kAll[] = {S::Bool, S::Byte, S::Char, S::Short, S::Int, S::Long, S::Float, S::Double};

std::vector<double> values(S t) {
  if (is_float(t)) {
    const double inf = std::numeric_limits<double>::infinity();
    return {0.0, -0.0, 1, -2.5, 1e30, 1e-40, -inf, inf, std::numeric_limits<double>::quiet_NaN()};
  }
  return t == S::Bool ? std::vector<double>{0, 1} : std::vector<double>{0, 1, -1, 2, -7, 64, 127, -128};
}

Expr constant(S t, Number x) {
  Expr e;
  e.dtype = t;
  e.imm_i = is_float(t) ? 0 : x.i;
  e.imm_d = is_float(t) ? x.d : 0;
  return e;
}

bool same(S t, const Expr& e, Number x) {
  return is_float(t) ? std::bit_cast<uint64_t>(e.imm_d) == std::bit_cast<uint64_t>(x.d) || (std::isnan(e.imm_d) && std::isnan(x.d))
                     : e.imm_i == x.i;
}

// Compares all that folds with a run of the same expression over memory; returns how many did.
size_t expect_folds(Op op, S from, S to) {
  const bool two = traits(op).operands == 2;
  Memory m;
  std::vector<double> x, y;
  for (double a : values(from)) {
    for (double b : two ? values(from) : std::vector<double>{0}) {
      x.push_back(a);
      y.push_back(b);
    }
  }
  const auto n = static_cast<int64_t>(x.size());
  for (const auto& v : {x, y}) {
    is_float(from) ? m.add(from, v) : m.add_integers(from, {v.begin(), v.end()});
  }
  m.add(to, n);
  LoopBuilder b(traits(op).name, {n}, 1);
  const ExprId left = b.load(0, from, {1}), right = two ? b.load(1, from, {1}) : kNoExpr;
  Expr e = b.loop.exprs[b.expr(op, to, left, right)];
  b.store(2, to, {1}, static_cast<ExprId>(b.loop.exprs.size() - 1));
  try {
    const Localized local = localize(b.loop);
    std::vector<std::byte*> pointers;
    for (uint32_t buffer : local.buffers) {
      pointers.push_back(m.pointers()[buffer]);
    }
    compile(std::vector<Loop>{local.loop})[0]->run(pointers.data(), nullptr, nullptr);
  } catch (const c10::Error&) {  // some lanes divide by zero: those do not fold
  }
  size_t folds = 0;
  for (int64_t i = 0; i < n; ++i) {
    std::vector<Expr> operands{constant(from, m.at(0, i))};
    if (two) {
      operands.push_back(constant(from, m.at(1, i)));
    }
    if (const auto folded = fold(e, operands)) {
      ++folds;
      EXPECT_EQ(folded->op, Op::kConst);
      EXPECT_EQ(folded->dtype, to);
      EXPECT_TRUE(same(to, *folded, m.at(2, i))) << traits(op).name << " of " << x[i] << ", " << y[i] << " as " << from << " to " << to;
    }
  }
  return folds;
}

TEST(Fold, GivesWhatGeneratedCodeGives) {
  for (int i = 0; i <= static_cast<int>(Op::kReduceArgMax); ++i) {
    const Op op = static_cast<Op>(i);
    const OpClass c = traits(op).op_class;
    if (op == Op::kCheckIndex || (c != OpClass::kUnary && c != OpClass::kPredicate && c != OpClass::kBinary && c != OpClass::kCompare)) {
      continue;
    }
    for (S t : kAll) {
      if ((traits(op).accepts & (t == S::Bool ? kAcceptsBool : is_float(t) ? kAcceptsFloat : kAcceptsInt)) != 0) {
        expect_folds(op, t, c == OpClass::kPredicate || c == OpClass::kCompare ? S::Bool : t);
      }
    }
  }
  for (Op op : {Op::kAdd, Op::kMul, Op::kLt, Op::kMax, Op::kDivFloor}) {
    EXPECT_GT(expect_folds(op, S::Long, op == Op::kLt ? S::Bool : S::Long), 50) << traits(op).name;
  }
  for (Op op : {Op::kAdd, Op::kRound, Op::kNeg}) {
    EXPECT_GE(expect_folds(op, S::Float, S::Float), 9) << traits(op).name;
  }
}

TEST(Fold, Casts) {
  for (S from : kAll) {
    for (S to : kAll) {
      if (from != to) {
        expect_folds(Op::kCast, from, to);
      }
    }
  }
  EXPECT_EQ(expect_folds(Op::kCast, S::Int, S::Double), 8);
  EXPECT_LT(expect_folds(Op::kCast, S::Float, S::Int), 9);  // not what is out of range
}

TEST(Fold, LeavesWhatWouldFail) {
  Expr e;
  e.op = Op::kDiv;
  e.dtype = S::Int;
  e.a = 0;
  e.b = 1;
  EXPECT_FALSE(fold(e, std::vector<Expr>{constant(S::Int, {4, 0}), constant(S::Int, {0, 0})}).has_value());
  EXPECT_EQ(fold(e, std::vector<Expr>{constant(S::Int, {-7, 0}), constant(S::Int, {2, 0})})->imm_i, -3);
  e.op = Op::kCheckIndex;
  e.dtype = S::Long;
  e.imm_i = 5;
  EXPECT_EQ(fold(e, std::vector<Expr>{constant(S::Long, {-1, 0})})->imm_i, 4);
  EXPECT_FALSE(fold(e, std::vector<Expr>{constant(S::Long, {5, 0})}).has_value());
}

}  // namespace
}  // namespace torch_hpu::codegen
