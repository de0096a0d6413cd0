// Which expressions become simpler, which must not, and that none changes its value.
#include "csrc/compiler/passes/rewrite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "csrc/codegen/op_traits.h"
#include "test/cpp/codegen/loop_builder.h"

namespace torch_hpu {
namespace {

using codegen::Expr;
using codegen::ExprId;
using codegen::Loop;
using codegen::LoopBuilder;
using codegen::Op;
using codegen::S;

// The expressions of a loop over 8 elements that stores f(b, x), x being loaded from buffer 0.
template <typename F>
std::vector<Expr> rewritten(S in, F f) {
  LoopBuilder b("test", {8}, 1);
  const ExprId x = b.load(0, in, {1}), value = f(b, x);
  b.store(1, b.loop.exprs[static_cast<size_t>(value)].dtype, {1}, value);
  compiler::rewrite(b.loop);
  codegen::verify(b.loop);
  return b.loop.exprs;
}

// The op behind the last expression: what is stored.
template <typename F>
Op stored(S in, F f) {
  return rewritten(in, f).back().op;
}

TEST(Rewrite, NeutralElements) {
  for (S t : {S::Float, S::Double, S::Int, S::Long}) {
    const double zero = codegen::is_float(t) ? -0.0 : 0;
    EXPECT_EQ(stored(t, [&](auto& b, ExprId x) { return b.binary(Op::kAdd, b.constant(t, zero), x); }), Op::kLoad);
    EXPECT_EQ(stored(t, [&](auto& b, ExprId x) { return b.binary(Op::kSub, x, b.constant(t, 0)); }), Op::kLoad);
    EXPECT_EQ(stored(t, [&](auto& b, ExprId x) { return b.binary(Op::kMul, b.constant(t, 1), x); }), Op::kLoad);
    EXPECT_EQ(stored(t, [&](auto& b, ExprId x) { return b.binary(Op::kDiv, x, b.constant(t, 1)); }), Op::kLoad);
    EXPECT_EQ(stored(t, [&](auto& b, ExprId x) { return b.unary(Op::kNeg, b.unary(Op::kNeg, x)); }), Op::kLoad);
    EXPECT_EQ(stored(t, [&](auto& b, ExprId x) { return b.binary(Op::kMax, x, x); }), Op::kLoad);
  }
}

TEST(Rewrite, ZerosOfFloatingPointAreNotNeutral) {
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId x) { return b.binary(Op::kAdd, x, b.constant(S::Float, 0.0)); }), Op::kAdd);  // -0 + 0 is 0
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId x) { return b.binary(Op::kSub, x, b.constant(S::Float, -0.0)); }),
            Op::kSub);  // -0 - -0 is 0
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId x) { return b.binary(Op::kMul, x, b.constant(S::Float, 0.0)); }),
            Op::kMul);                                                                                // NaN, inf, -1
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId x) { return b.binary(Op::kSub, x, x); }), Op::kSub);  // NaN, inf
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId x) { return b.compare(Op::kEq, x, x); }), Op::kEq);   // NaN
}

TEST(Rewrite, DivisionByPowersOfTwo) {
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId x) { return b.binary(Op::kDiv, x, b.constant(S::Float, -8)); }), Op::kMul);
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId x) { return b.binary(Op::kDiv, x, b.constant(S::Float, 3)); }), Op::kDiv);
  EXPECT_EQ(stored(S::Int, [](auto& b, ExprId x) { return b.binary(Op::kDiv, x, b.constant(S::Int, 8)); }), Op::kDiv);
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId x) { return b.binary(Op::kDiv, x, b.constant(S::Float, 0x1p-127)); }), Op::kDiv);
}

TEST(Rewrite, Casts) {
  const auto twice = [](S middle, S last) { return [=](auto& b, ExprId x) { return b.cast(b.cast(x, middle), last); }; };
  EXPECT_EQ(stored(S::Float, twice(S::Double, S::Float)), Op::kLoad);
  EXPECT_EQ(stored(S::Bool, twice(S::Float, S::Bool)), Op::kLoad);
  EXPECT_EQ(rewritten(S::Int, twice(S::Long, S::Float)).size(), 2);   // one cast, from Int
  EXPECT_EQ(rewritten(S::Int, twice(S::Float, S::Int)).size(), 3);    // Float does not hold every Int
  EXPECT_EQ(rewritten(S::Long, twice(S::Int, S::Long)).size(), 3);    // wraps
  EXPECT_EQ(rewritten(S::Byte, twice(S::Char, S::Short)).size(), 3);  // changes sign
  EXPECT_EQ(rewritten(S::Float, twice(S::Double, S::Int)).size(), 3);
}

TEST(Rewrite, Conditions) {
  const auto negated = [](auto& b, ExprId x) { return b.unary(Op::kBitNot, b.compare(Op::kLt, x, b.constant(S::Float, 2))); };
  EXPECT_EQ(stored(S::Float, negated), Op::kBitNot);  // !(x < 2) is not x >= 2 for NaN
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId x) { return b.unary(Op::kBitNot, b.compare(Op::kEq, x, b.constant(S::Float, 2))); }),
            Op::kNe);
  const auto exprs = rewritten(S::Float, [&](auto& b, ExprId x) { return b.select(negated(b, x), x, b.constant(S::Float, 7)); });
  EXPECT_EQ(exprs.back().op, Op::kSelect);
  EXPECT_EQ(exprs[static_cast<size_t>(exprs.back().a)].op, Op::kLt);
  EXPECT_EQ(stored(S::Float,
                   [](auto& b, ExprId x) {
                     return b.select(b.compare(Op::kLt, b.constant(S::Int, 1), b.constant(S::Int, 2)), x, b.constant(S::Float, 7));
                   }),
            Op::kLoad);
}

TEST(Rewrite, Indices) {
  const auto check = [](int64_t size) {
    return [=](auto& b, ExprId) { return b.expr(Op::kCheckIndex, S::Long, b.index(0), codegen::kNoExpr, codegen::kNoExpr, size); };
  };
  EXPECT_EQ(stored(S::Float, check(8)), Op::kIndex);
  EXPECT_EQ(stored(S::Float, check(7)), Op::kCheckIndex);
  EXPECT_EQ(stored(S::Float, [](auto& b, ExprId) { return b.binary(Op::kAdd, b.constant(S::Long, 40), b.constant(S::Long, 2)); }),
            Op::kConst);
}

// A constant that is stored at every point of rows stays a point value.
TEST(Rewrite, PointsStayPoints) {
  LoopBuilder b("rows", {4, 8}, 1);
  const ExprId x = b.load(0, S::Float, {8, 1});
  b.store(1, S::Float, {1, 0}, b.unary(Op::kReduceSum, x));
  const ExprId same = b.select(b.compare(Op::kGe, b.constant(S::Int, 2), b.constant(S::Int, 1)), b.constant(S::Float, 3), x);
  b.store(2, S::Float, {8, 1}, same);
  compiler::rewrite(b.loop);
  codegen::verify(b.loop);
  EXPECT_EQ(b.loop.exprs[static_cast<size_t>(b.loop.stores[1].value)].op, Op::kSelect);
}

// Random expressions over special values, run before and after.
class Author {
 public:
  explicit Author(unsigned seed) : random_(seed), builder_("random", {kPoints}, 1) {}
  static constexpr int64_t kPoints = 64;

  Loop write() {
    for (S t : kDtypes) {
      values_.push_back(builder_.load(static_cast<uint32_t>(values_.size()), t, {1}));
    }
    for (int i = 0; i < 30; ++i) {
      values_.push_back(next());
    }
    for (uint32_t i = 0; i < 6; ++i) {
      const ExprId v = values_[values_.size() - 1 - i];
      builder_.store(kInputs + i, dtype(v), {1}, v);
    }
    return builder_.loop;
  }

  static constexpr S kDtypes[] = {S::Float, S::Double, S::Int, S::Byte, S::Long, S::Bool};
  static constexpr uint32_t kInputs = std::size(kDtypes);

 private:
  S dtype(ExprId e) const {
    return builder_.loop.exprs[static_cast<size_t>(e)].dtype;
  }
  template <typename T>
  T pick(const std::vector<T>& list) {
    return list[random_() % list.size()];
  }
  ExprId constant(S t) {
    return builder_.constant(t, t == S::Bool ? static_cast<double>(random_() % 2) : pick<double>({0.0, 1, -0.0, 2, -1, 8}));
  }
  ExprId like(S t) {  // a value of this dtype
    if (random_() % 3 == 0) {
      return constant(t == S::Byte ? S::Byte : t);
    }
    for (int i = 0; i < 8; ++i) {
      if (const ExprId v = pick(values_); dtype(v) == t) {
        return v;
      }
    }
    return convert(pick(values_), t);
  }
  ExprId convert(ExprId x, S t) {  // integers out of range are anybody's guess: from floating point by way of a comparison
    return builder_.cast(codegen::is_float(dtype(x)) && !codegen::is_float(t) ? builder_.compare(Op::kLt, x, constant(dtype(x))) : x, t);
  }
  ExprId next() {
    const ExprId x = random_() % 4 == 0 ? constant(pick(std::vector<S>(std::begin(kDtypes), std::end(kDtypes)))) : pick(values_);
    const S t = dtype(x);
    switch (random_() % 5) {
      case 0:
        return convert(x, pick(std::vector<S>(std::begin(kDtypes), std::end(kDtypes))));
      case 1:
        return t == S::Bool ? builder_.unary(Op::kBitNot, x) : builder_.unary(pick<Op>({Op::kNeg, Op::kAbs}), x);
      case 2:
        return builder_.compare(pick<Op>({Op::kEq, Op::kNe, Op::kLt}), x, like(t));
      case 3:
        return builder_.select(like(S::Bool), x, like(t));
      default:
        if (t == S::Bool) {
          return builder_.binary(pick<Op>({Op::kAnd, Op::kOr, Op::kXor}), x, like(t));
        }
        return codegen::is_float(t) ? builder_.binary(pick<Op>({Op::kAdd, Op::kSub, Op::kMul, Op::kDiv, Op::kMin, Op::kMax}), x, like(t))
                                    : builder_.binary(pick<Op>({Op::kAdd, Op::kSub, Op::kMul, Op::kMax, Op::kAnd, Op::kShl}), x, like(t));
    }
  }

  std::mt19937 random_;
  LoopBuilder builder_;
  std::vector<ExprId> values_;
};

// What the loop leaves in its six outputs.
std::vector<std::vector<std::byte>> run(const Loop& loop) {
  std::mt19937 random(1);
  std::vector<std::vector<std::byte>> buffers(Author::kInputs + 6, std::vector<std::byte>(Author::kPoints * 8));
  const double special[] = {0.0, -0.0, 1, -1, 2.5, -3, 100, 1e-3, std::numeric_limits<double>::infinity(), std::nan("")};
  for (int64_t i = 0; i < Author::kPoints; ++i) {
    const double d = special[random() % std::size(special)];
    reinterpret_cast<float*>(buffers[0].data())[i] = static_cast<float>(special[random() % std::size(special)]);
    reinterpret_cast<double*>(buffers[1].data())[i] = d;
    reinterpret_cast<int32_t*>(buffers[2].data())[i] = static_cast<int32_t>(random() % 9) - 4;
    reinterpret_cast<uint8_t*>(buffers[3].data())[i] = static_cast<uint8_t>(random() % 256);
    reinterpret_cast<int64_t*>(buffers[4].data())[i] = static_cast<int64_t>(random() % 5) - 2;
    reinterpret_cast<bool*>(buffers[5].data())[i] = random() % 2 != 0;
  }
  const codegen::Localized local = codegen::localize(loop);
  std::vector<std::byte*> pointers;
  for (uint32_t b : local.buffers) {
    pointers.push_back(buffers[b].data());
  }
  codegen::compile(std::vector<Loop>{local.loop})[0]->run(pointers.data(), nullptr, nullptr);
  return {buffers.begin() + Author::kInputs, buffers.end()};
}

template <typename T>
bool same(const std::byte* a, const std::byte* b) {
  T x, y;
  std::memcpy(&x, a, sizeof x);
  std::memcpy(&y, b, sizeof y);
  // A product and a sum may or may not be contracted.
  return (std::isnan(x) && std::isnan(y)) || (x == y && std::signbit(x) == std::signbit(y)) ||
         (std::isfinite(x) && x != 0 && std::abs(x - y) <= 1e-6 * std::abs(x));
}

TEST(Rewrite, ValuesStay) {
  size_t before = 0, after = 0;
  for (unsigned seed = 0; seed < 60; ++seed) {
    const Loop loop = Author(seed).write();
    Loop simpler = loop;
    compiler::rewrite(simpler);
    codegen::verify(simpler);
    before += loop.exprs.size();
    after += simpler.exprs.size();
    const auto expected = run(loop), got = run(simpler);
    for (size_t o = 0; o < expected.size(); ++o) {
      const S t = loop.exprs[static_cast<size_t>(loop.stores[o].value)].dtype;
      const size_t size = c10::elementSize(t);
      for (size_t i = 0; i < Author::kPoints; ++i) {
        const std::byte *x = expected[o].data() + i * size, *y = got[o].data() + i * size;
        ASSERT_TRUE(t == S::Float    ? same<float>(x, y)
                    : t == S::Double ? same<double>(x, y)
                                     : std::memcmp(x, y, size) == 0)
            << "seed " << seed << ", store " << o << ", point " << i << "\n"
            << codegen::to_string(loop) << "became\n"
            << codegen::to_string(simpler);
      }
    }
  }
  EXPECT_LT(after, before);
}

}  // namespace
}  // namespace torch_hpu
