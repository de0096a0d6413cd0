// Every op on special and random values, in every dtype it takes.
#include <cmath>
#include <limits>

#include "csrc/codegen/op_traits.h"
#include "test/cpp/codegen/harness.h"
#include "test/cpp/codegen/widths.h"

namespace torch_hpu::codegen {
namespace {

std::vector<Op> ops_of(OpClass c) {
  std::vector<Op> list;
  for (int i = 0; i <= static_cast<int>(Op::kReduceArgMax); ++i) {
    if (traits(static_cast<Op>(i)).op_class == c && static_cast<Op>(i) != Op::kCheckIndex) {
      list.push_back(static_cast<Op>(i));
    }
  }
  return list;
}

// What is beyond an ulp or two, and why.
double unary_tolerance(Op op, S t) {
  switch (op) {
    case Op::kErfc:
      return 4;
    case Op::kLgamma:
      return 64;  // near its zeros at 1 and 2
    case Op::kSigmoid:
      return 4;
    default:
      return t == S::Float ? 2.1 : 2.5;
  }
}

std::vector<double> sample(S t, std::mt19937_64& random) {
  std::vector<double> v = special_values(t);
  std::uniform_real_distribution<double> near(-4, 4), far(-40, 40), exponent(-30, 30), unit(-1, 1);
  for (int i = 0; i < 400; ++i) {
    v.push_back(near(random));
    v.push_back(far(random));
    v.push_back(unit(random));
    v.push_back(std::exp2(exponent(random)) * (i % 2 ? 1 : -1));
  }
  return v;
}

std::vector<int64_t> integer_sample(S t) {
  std::vector<int64_t> v{0,
                         1,
                         -1,
                         2,
                         -2,
                         3,
                         -3,
                         5,
                         7,
                         -7,
                         10,
                         31,
                         32,
                         63,
                         64,
                         100,
                         -100,
                         127,
                         -128,
                         128,
                         255,
                         256,
                         32767,
                         -32768,
                         65535,
                         2147483647,
                         -2147483648LL,
                         4294967296LL,
                         std::numeric_limits<int64_t>::max(),
                         std::numeric_limits<int64_t>::min(),
                         123456789,
                         -987654321,
                         1000003};
  for (int64_t& x : v) {
    x = cast_reference({x, 0}, S::Long, t).i;
  }
  return v;
}

constexpr S kFloats[] = {S::Float, S::Double};
constexpr S kIntegers[] = {S::Byte, S::Char, S::Short, S::Int, S::Long};
constexpr S kAll[] = {S::Bool, S::Byte, S::Char, S::Short, S::Int, S::Long, S::Float, S::Double};

bool takes(Op op, S t) {
  return (traits(op).accepts & (t == S::Bool ? kAcceptsBool : is_float(t) ? kAcceptsFloat : kAcceptsInt)) != 0;
}

class Ops : public Widths {};
INSTANTIATE_TEST_SUITE_P(Bytes, Ops, ::testing::Values(64, 32, 16), [](const auto& info) { return std::to_string(info.param); });

TEST_P(Ops, UnaryFloat) {
  for (S t : kFloats) {
    for (OpClass c : {OpClass::kUnary, OpClass::kPredicate}) {
      for (Op op : ops_of(c)) {
        if (!takes(op, t)) {
          continue;
        }
        Memory m;
        std::vector<double> v = sample(t, m.random);
        if (op == Op::kLgamma || op == Op::kDigamma) {  // between the poles every library has its own idea of an ulp
          for (double& x : v) {
            x = x < 0 && !std::isinf(x) ? -x : x;
          }
        }
        m.add(t, v);
        const S out = c == OpClass::kPredicate ? S::Bool : t;
        const auto n = static_cast<int64_t>(v.size());
        m.add(out, n);
        LoopBuilder b(traits(op).name, {n}, 1);
        b.store(1, out, {1}, b.expr(op, out, b.load(0, t, {1})));
        const double tiny = op == Op::kSigmoid ? 0x1p-125 : 0;  // 1 + exp(-x) overflows, as ATen's
        expect_agrees(b.loop, m, {unary_tolerance(op, t), t == S::Float ? tiny : 0});
      }
    }
  }
}

TEST_P(Ops, BinaryFloat) {
  for (S t : kFloats) {
    for (OpClass c : {OpClass::kBinary, OpClass::kCompare}) {
      for (Op op : ops_of(c)) {
        if (!takes(op, t)) {
          continue;
        }
        Memory m;
        std::vector<double> special = special_values(t), x, y;
        for (double a : special) {
          for (double v : special) {
            x.push_back(a);
            y.push_back(v);
          }
        }
        if (op >= Op::kChebyshevT && op <= Op::kLegendreP) {
          // Of NaN these are uninitialised values in ATen; and a degree is as many steps of a recurrence.
          for (size_t i = 0; i < x.size(); ++i) {
            x[i] = std::abs(x[i]) < 1e6 ? x[i] : 0.5;
            y[i] = std::abs(y[i]) < 100 ? y[i] : 7;
          }
        }
        std::uniform_real_distribution<double> near(-4, 4);
        for (int i = 0; i < 1000; ++i) {
          x.push_back(op == Op::kPow ? std::fabs(near(m.random)) : near(m.random));
          y.push_back(near(m.random));
        }
        const auto n = static_cast<int64_t>(x.size());
        const S out = c == OpClass::kCompare ? S::Bool : t;
        m.add(t, x);
        m.add(t, y);
        m.add(out, n);
        LoopBuilder b(traits(op).name, {n}, 1);
        const ExprId l = b.load(0, t, {1}), r = b.load(1, t, {1});
        b.store(2, out, {1}, b.expr(op, out, l, r));
        const bool inexact = op == Op::kPow || op == Op::kAtan2 || op == Op::kHypot;
        expect_agrees(b.loop, m, {inexact ? 2.5 : 0, 0});
      }
    }
  }
}

TEST_P(Ops, Integers) {
  for (S t : kAll) {
    if (is_float(t)) {
      continue;
    }
    for (OpClass c : {OpClass::kUnary, OpClass::kBinary, OpClass::kCompare}) {
      for (Op op : ops_of(c)) {
        if (!takes(op, t)) {
          continue;
        }
        const bool divides = op == Op::kDiv || op == Op::kDivFloor || op == Op::kFmod || op == Op::kRemainder;
        Memory m;
        std::vector<int64_t> x, y, s = integer_sample(t);
        for (int64_t a : s) {
          for (int64_t v : s) {
            if (!(divides && v == 0)) {
              x.push_back(a);
              y.push_back(v);
            }
          }
        }
        const auto n = static_cast<int64_t>(x.size());
        const S out = c == OpClass::kCompare ? S::Bool : t;
        m.add_integers(t, x);
        m.add_integers(t, y);
        m.add(out, n);
        LoopBuilder b(traits(op).name, {n}, 1);
        const ExprId l = b.load(0, t, {1}), r = traits(op).operands == 2 ? b.load(1, t, {1}) : kNoExpr;
        b.store(2, out, {1}, b.expr(op, out, l, r));
        EXPECT_EQ(expect_agrees(b.loop, m), "");
      }
    }
  }
}

TEST_P(Ops, DivisionByZeroFails) {
  for (S t : kIntegers) {
    for (Op op : {Op::kDiv, Op::kDivFloor, Op::kFmod, Op::kRemainder}) {
      Memory m;
      std::vector<int64_t> y(37, 3);
      m.add(t, 37);
      m.add_integers(t, y);
      m.add(t, 37);
      LoopBuilder b("quotient", {37}, 1);
      const ExprId l = b.load(0, t, {1}), r = b.load(1, t, {1});
      b.store(2, t, {1}, b.binary(op, l, r));
      EXPECT_EQ(expect_agrees(b.loop, m), "");
      Number zero;
      store_reference(m.pointers()[1] + 36 * c10::elementSize(t), t, zero);
      EXPECT_NE(expect_agrees(b.loop, m).find("ZeroDivisionError: division by zero in quotient"), std::string::npos);
    }
  }
}

TEST_P(Ops, Casts) {
  for (S from : kAll) {
    for (S to : kAll) {
      Memory m;
      uint32_t in = 0;
      int64_t n = 0;
      if (is_float(from)) {
        std::vector<double> v;
        for (double x :
             {0.0, -0.0, 0.4, 1.0, 1.5, 2.9, 100.99, 127.0, -0.7, -1.0, -1.5, -100.9, -128.0, 255.0, 200.5, 30000.7, -30000.2, 2e9, -2e9}) {
          v.push_back(x);
        }
        for (double x : {NAN, INFINITY}) {
          if (is_float(to) || to == S::Bool) {
            v.push_back(x);
          }
        }
        n = static_cast<int64_t>(v.size());
        in = m.add(from, v);
      } else if (from == S::Bool) {
        in = m.add(S::Bool, n = 45);
      } else {
        const auto v = integer_sample(from);
        n = static_cast<int64_t>(v.size());
        in = m.add_integers(from, v);
      }
      m.add(to, n);
      LoopBuilder b("cast", {n}, 1);
      b.store(1, to, {1}, b.cast(b.load(in, from, {1}), to));
      expect_agrees(b.loop, m, {0, 0});
    }
  }
}

TEST_P(Ops, NarrowFloats) {
  for (S t : {S::Half, S::BFloat16}) {
    Memory m;
    std::vector<double> v = special_values(S::Float);
    for (double x : {65504.0, 65519.0, 65520.0, 1.0 + 0x1p-11, 1.0 + 0x1p-10, 1.0 + 3 * 0x1p-11, 0x1p-24, 0x1p-25, 0x1.8p-25, 1.00390625,
                     1.01171875}) {
      v.push_back(x);
    }
    const auto n = static_cast<int64_t>(v.size());
    m.add(S::Float, v);
    m.add(t, v);
    m.add(t, n);
    m.add(S::Float, n);
    LoopBuilder b("narrow", {n}, 1);
    b.store(2, t, {1}, b.load(0, S::Float, {1}));  // rounds
    b.store(3, S::Float, {1}, b.load(1, t, {1}));  // exact
    expect_agrees(b.loop, m, {0, 0});
  }
}

TEST_P(Ops, BoolLoadsAnyNonzeroByte) {
  Memory m;
  m.add_integers(S::Byte, {0, 1, 2, 128, 255, 0, 7});
  m.add(S::Byte, 7);
  m.add(S::Bool, 7);
  LoopBuilder b("bool", {7}, 1);
  const ExprId x = b.load(b.access(0, S::Bool, {1}));
  b.store(1, S::Byte, {1}, b.cast(x, S::Byte));
  b.store(2, S::Bool, {1}, x);
  expect_agrees(b.loop, m);
  EXPECT_EQ(m.data<uint8_t>(2)[2], 1);
}

TEST_P(Ops, SelectAndFma) {
  for (S t : kAll) {
    Memory m;
    const int64_t n = 77;
    m.add(S::Bool, n);
    for (int i = 0; i < 3; ++i) {
      m.add(t, n);
    }
    LoopBuilder b("select", {n}, 1);
    const ExprId c = b.load(0, S::Bool, {1}), x = b.load(1, t, {1}), y = b.load(2, t, {1});
    ExprId v = b.select(c, x, y);
    if (t != S::Bool) {
      v = b.expr(Op::kFma, t, v, x, y);
    }
    b.store(3, t, {1}, v);
    expect_agrees(b.loop, m, {1, 1e-6});
  }
}

TEST_P(Ops, ScalarsOfEveryCategory) {
  using C = ir::ScalarCategory;
  for (C c : {C::kBool, C::kInt, C::kFloat, C::kComplex}) {
    for (S t : kAll) {
      Memory m;
      m.add(t, 19);
      LoopBuilder b("fill", {19}, 1);
      b.store(0, t, {1}, b.scalar(c, t));
      ir::ScalarValue v;
      if (c == C::kFloat || c == C::kComplex) {
        v.d = 3.7;
      } else {
        v.i = c == C::kBool ? 1 : 100;
      }
      expect_agrees(b.loop, m, {0, 0}, {}, {v});
    }
  }
}

// Scalars (values that do not vary along the vector dim) take other code than vectors.
TEST_P(Ops, UniformOperands) {
  for (S t : kAll) {
    for (OpClass c : {OpClass::kUnary, OpClass::kBinary, OpClass::kCompare}) {
      for (Op op : ops_of(c)) {
        if (!takes(op, t)) {
          continue;
        }
        Memory m;
        m.add_integers(t, {5});
        m.add_integers(t, {3});
        if (is_float(t)) {
          store_reference(m.pointers()[0], t, {0, 0.6});
          store_reference(m.pointers()[1], t, {0, 0.3});
        }
        const S out = c == OpClass::kCompare ? S::Bool : t;
        m.add(out, 33);
        LoopBuilder b(traits(op).name, {33}, 1);
        const ExprId l = b.load(0, t, {0}), r = traits(op).operands == 2 ? b.load(1, t, {0}) : kNoExpr;
        b.store(2, out, {1}, b.expr(op, out, l, r));
        expect_agrees(b.loop, m, {4, 0});
      }
    }
  }
}

}  // namespace
}  // namespace torch_hpu::codegen
