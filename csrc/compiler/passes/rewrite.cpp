#include "csrc/compiler/passes/rewrite.h"

#include <bit>
#include <cmath>
#include <map>
#include <tuple>

#include "csrc/codegen/fold.h"
#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/access.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::Expr;
using codegen::ExprId;
using codegen::is_float;
using codegen::kNoExpr;
using codegen::Loop;
using codegen::Op;

class Rewriter {
 public:
  explicit Rewriter(Loop& loop) : loop_(loop) {}

  void run();

  // What rules see of the expressions that stand already.
  const Expr& operator[](ExprId id) const {
    return exprs_[static_cast<size_t>(id)];
  }
  bool is(ExprId id, Op op) const {
    return (*this)[id].op == op;
  }
  // The constant `value`; 0.0 is not -0.0.
  bool is(ExprId id, double value) const {
    const Expr& e = (*this)[id];
    return e.op == Op::kConst && (is_float(e.dtype) ? std::bit_cast<uint64_t>(e.imm_d) == std::bit_cast<uint64_t>(value)
                                                    : e.imm_i == static_cast<int64_t>(value));
  }
  int64_t size(int64_t dim) const {
    return loop_.sizes[static_cast<size_t>(dim)];
  }
  // The expression, in its simplest form.
  ExprId make(Expr e);
  ExprId make(Op op, ScalarType dtype, ExprId a, ExprId b = kNoExpr, ExprId c = kNoExpr) {
    return make({op, dtype, a, b, c});
  }
  ExprId constant(double value, ScalarType dtype) {
    return make(
        {Op::kConst, dtype, kNoExpr, kNoExpr, kNoExpr, is_float(dtype) ? 0 : static_cast<int64_t>(value), is_float(dtype) ? value : 0});
  }

 private:
  std::optional<Expr> folded(const Expr& e) const;

  Loop& loop_;
  std::vector<Expr> exprs_;  // the new list
  using Key = std::tuple<Op, ScalarType, ExprId, ExprId, ExprId, int64_t, uint64_t>;
  std::map<Key, ExprId> known_;
};

// Whether every value of `from` has an equal one of `to`.
bool exact(ScalarType from, ScalarType to) {
  const auto bits = [](ScalarType t) {  // of magnitude
    switch (t) {
      case ScalarType::Bool:
        return 1;
      case ScalarType::Float:
        return 24;
      case ScalarType::Double:
        return 53;
      case ScalarType::Byte:
        return 8;
      default:
        return static_cast<int>(c10::elementSize(t)) * 8 - 1;
    }
  };
  if (from == to) {
    return true;
  }
  if (is_float(from)) {
    return is_float(to) && bits(from) <= bits(to);
  }
  const bool has_sign = from != ScalarType::Bool && from != ScalarType::Byte, takes_sign = to != ScalarType::Bool && to != ScalarType::Byte;
  return bits(from) <= bits(to) && (takes_sign || !has_sign);
}

// A power of two whose reciprocal is a normal number of the dtype, too: dividing by it is multiplying by that, exactly.
bool exact_reciprocal(const Expr& e) {
  int exponent = 0;
  return e.op == Op::kConst && is_float(e.dtype) && std::abs(std::frexp(e.imm_d, &exponent)) == 0.5 && std::abs(exponent) < 120;
}

bool is_bool(const Expr& e) {
  return e.dtype == ScalarType::Bool;
}

// A rule gives the expression that replaces `e`, or kNoExpr. Constants stand on the right of commutative ops.
// There is none for select(c, x, x): raise_stores() relies on it. Nor for x * 0 and the like: a fault in x (an index, a division by zero) must stay.
struct Rule {
  const char* text;
  Op op;
  ExprId (*apply)(Rewriter& r, const Expr& e);
};

constexpr Rule kRules[] = {
    {"x + 0 = x; floating point: x + -0 (-0 + 0 is 0)", Op::kAdd,
     [](Rewriter& r, const Expr& e) { return r.is(e.b, is_float(e.dtype) ? -0.0 : 0) ? e.a : kNoExpr; }},
    {"x - 0 = x", Op::kSub, [](Rewriter& r, const Expr& e) { return r.is(e.b, 0.0) ? e.a : kNoExpr; }},
    {"x * 1 = x", Op::kMul, [](Rewriter& r, const Expr& e) { return r.is(e.b, 1) ? e.a : kNoExpr; }},
    {"x / 1 = x", Op::kDiv, [](Rewriter& r, const Expr& e) { return r.is(e.b, 1) ? e.a : kNoExpr; }},
    {"x / 2^k = x * 2^-k", Op::kDiv,
     [](Rewriter& r, const Expr& e) {
       return exact_reciprocal(r[e.b]) ? r.make(Op::kMul, e.dtype, e.a, r.constant(1 / r[e.b].imm_d, e.dtype)) : kNoExpr;
     }},
    {"a * 1 + c = a + c", Op::kFma,
     [](Rewriter& r, const Expr& e) { return r.is(e.b, 1) ? r.make(Op::kAdd, e.dtype, e.a, e.c) : kNoExpr; }},
    {"pow(x, 1) = x", Op::kPow, [](Rewriter& r, const Expr& e) { return r.is(e.b, 1) ? e.a : kNoExpr; }},
    {"-(-x) = x", Op::kNeg, [](Rewriter& r, const Expr& e) { return r.is(e.a, Op::kNeg) ? r[e.a].a : kNoExpr; }},
    {"|-x| = |x|, ||x|| = |x|", Op::kAbs,
     [](Rewriter& r, const Expr& e) {
       return r.is(e.a, Op::kAbs) ? e.a : r.is(e.a, Op::kNeg) ? r.make(Op::kAbs, e.dtype, r[e.a].a) : kNoExpr;
     }},
    {"~~x = x", Op::kBitNot, [](Rewriter& r, const Expr& e) { return r.is(e.a, Op::kBitNot) ? r[e.a].a : kNoExpr; }},
    {"!(a == b) = a != b", Op::kBitNot,
     [](Rewriter& r, const Expr& e) { return is_bool(e) && r.is(e.a, Op::kEq) ? r.make(Op::kNe, e.dtype, r[e.a].a, r[e.a].b) : kNoExpr; }},
    {"!(a != b) = a == b", Op::kBitNot,
     [](Rewriter& r, const Expr& e) { return is_bool(e) && r.is(e.a, Op::kNe) ? r.make(Op::kEq, e.dtype, r[e.a].a, r[e.a].b) : kNoExpr; }},
    {"x & x = x", Op::kAnd, [](Rewriter&, const Expr& e) { return e.a == e.b ? e.a : kNoExpr; }},
    {"x & true = x", Op::kAnd, [](Rewriter& r, const Expr& e) { return is_bool(e) && r.is(e.b, 1) ? e.a : kNoExpr; }},
    {"x | x = x", Op::kOr, [](Rewriter&, const Expr& e) { return e.a == e.b ? e.a : kNoExpr; }},
    {"x | 0 = x", Op::kOr, [](Rewriter& r, const Expr& e) { return r.is(e.b, 0.0) ? e.a : kNoExpr; }},
    {"x ^ 0 = x", Op::kXor, [](Rewriter& r, const Expr& e) { return r.is(e.b, 0.0) ? e.a : kNoExpr; }},
    {"x << 0 = x", Op::kShl, [](Rewriter& r, const Expr& e) { return r.is(e.b, 0.0) ? e.a : kNoExpr; }},
    {"x >> 0 = x", Op::kShr, [](Rewriter& r, const Expr& e) { return r.is(e.b, 0.0) ? e.a : kNoExpr; }},
    {"min(x, x) = x", Op::kMin, [](Rewriter&, const Expr& e) { return e.a == e.b ? e.a : kNoExpr; }},
    {"max(x, x) = x", Op::kMax, [](Rewriter&, const Expr& e) { return e.a == e.b ? e.a : kNoExpr; }},
    {"c != false = c", Op::kNe, [](Rewriter& r, const Expr& e) { return is_bool(r[e.a]) && r.is(e.b, 0.0) ? e.a : kNoExpr; }},
    {"c == true = c", Op::kEq, [](Rewriter& r, const Expr& e) { return is_bool(r[e.a]) && r.is(e.b, 1) ? e.a : kNoExpr; }},
    {"select(constant, a, b)", Op::kSelect,
     [](Rewriter& r, const Expr& e) { return r.is(e.a, Op::kConst) ? (r[e.a].imm_i != 0 ? e.b : e.c) : kNoExpr; }},
    {"select(!c, a, b) = select(c, b, a)", Op::kSelect,
     [](Rewriter& r, const Expr& e) { return r.is(e.a, Op::kBitNot) ? r.make(Op::kSelect, e.dtype, r[e.a].a, e.c, e.b) : kNoExpr; }},
    {"select(c, true, false) = c", Op::kSelect,
     [](Rewriter& r, const Expr& e) { return is_bool(e) && r.is(e.b, 1) && r.is(e.c, 0.0) ? e.a : kNoExpr; }},
    {"a cast to its own dtype", Op::kCast, [](Rewriter& r, const Expr& e) { return r[e.a].dtype == e.dtype ? e.a : kNoExpr; }},
    // Through an exact dtype nothing is lost. From floating point only where the direct cast rounds and wraps alike: to floating point and Bool.
    {"cast of an exact cast", Op::kCast,
     [](Rewriter& r, const Expr& e) {
       if (!r.is(e.a, Op::kCast)) {
         return kNoExpr;
       }
       const ExprId x = r[e.a].a;
       const ScalarType from = r[x].dtype;
       const bool alike = !is_float(from) || is_float(e.dtype) || e.dtype == ScalarType::Bool;
       return exact(from, r[e.a].dtype) && alike ? r.make(Op::kCast, e.dtype, x) : kNoExpr;
     }},
    {"a coordinate along a dim of size 1 is 0", Op::kIndex,
     [](Rewriter& r, const Expr& e) { return r.size(e.imm_i) == 1 ? r.constant(0, e.dtype) : kNoExpr; }},
    {"a coordinate needs no check against its dim's size", Op::kCheckIndex,
     [](Rewriter& r, const Expr& e) { return r.is(e.a, Op::kIndex) && r.size(r[e.a].imm_i) <= e.imm_i ? e.a : kNoExpr; }},
};

bool commutative(Op op) {
  return op == Op::kAdd || op == Op::kMul || op == Op::kFma || op == Op::kAnd || op == Op::kOr || op == Op::kXor || op == Op::kEq ||
         op == Op::kNe;
}

std::optional<Expr> Rewriter::folded(const Expr& e) const {
  c10::SmallVector<Expr, 3> operands;
  for (int i = 0; i < codegen::traits(e.op).operands; ++i) {
    const ExprId x = codegen::operands(e)[static_cast<size_t>(i)];
    if (!is(x, Op::kConst)) {
      return std::nullopt;
    }
    operands.push_back((*this)[x]);
  }
  return operands.empty() ? std::nullopt : codegen::fold(e, operands);
}

ExprId Rewriter::make(Expr e) {
  if (commutative(e.op) && is(e.a, Op::kConst) && !is(e.b, Op::kConst)) {
    std::swap(e.a, e.b);
  }
  if (const auto constant = folded(e)) {
    e = *constant;
  }
  for (const Rule& rule : kRules) {
    if (rule.op == e.op) {
      if (const ExprId simpler = rule.apply(*this, e); simpler != kNoExpr) {
        return simpler;
      }
    }
  }
  const auto [it, added] =
      known_.try_emplace({e.op, e.dtype, e.a, e.b, e.c, e.imm_i, std::bit_cast<uint64_t>(e.imm_d)}, static_cast<ExprId>(exprs_.size()));
  if (added) {
    exprs_.push_back(e);
  }
  return it->second;
}

void Rewriter::run() {
  std::vector<ExprId> renamed(loop_.exprs.size());
  const auto rename = [&](ExprId& id) {
    if (id != kNoExpr) {
      id = renamed[static_cast<size_t>(id)];
    }
  };
  for (size_t i = 0; i < loop_.exprs.size(); ++i) {
    Expr e = loop_.exprs[i];
    rename(e.a);
    rename(e.b);
    rename(e.c);
    renamed[i] = make(e);
  }
  for (codegen::Store& s : loop_.stores) {
    rename(s.value);
    rename(s.at);
  }
  loop_.exprs = std::move(exprs_);
}

}  // namespace

void rewrite(Loop& loop) {
  Rewriter(loop).run();
  raise_stores(loop);
  compact(loop);
}

}  // namespace torch_hpu::compiler
