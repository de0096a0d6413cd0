// What every pass may rely on, checked in one place. Errors are ours: a malformed loop is a bug of the compiler.
#include <c10/util/Exception.h>

#include "csrc/codegen/loop.h"
#include "csrc/codegen/op_traits.h"

namespace torch_hpu::codegen {
namespace {

using c10::ScalarType;

class Verifier {
 public:
  explicit Verifier(const Loop& loop) : loop_(loop) {}

  void run() {
    const size_t rank = loop_.sizes.size();
    require(loop_.kept <= rank, "kept is ", loop_.kept, ", the rank ", rank);
    for (int64_t s : loop_.sizes) {
      require(s >= 0, "negative size ", s);
    }
    for (size_t i = 0; i < loop_.accesses.size(); ++i) {
      const Access& a = loop_.accesses[i];
      require(a.strides.size() == rank, "access a", i, " has ", a.strides.size(), " strides, the loop ", rank, " dims");
      require(a.buffer != ir::kNone, "access a", i, " has no buffer");
      require(is_expr_dtype(compute_dtype(a.dtype)), "access a", i, " has dtype ", a.dtype);
    }
    for (size_t i = 0; i < loop_.exprs.size(); ++i) {
      check_expr(static_cast<ExprId>(i));
    }
    check_stores();
  }

 private:
  template <class... Args>
  void require(bool condition, const Args&... message) const {
    TORCH_INTERNAL_ASSERT(condition, "malformed loop ", loop_.name, ": ", message..., "\n", to_string(loop_));
  }

  ScalarType dtype(ExprId e) const {
    return loop_.exprs[e].dtype;
  }

  const Access& access(const char* what, size_t id, int64_t number) const {
    require(number >= 0 && number < static_cast<int64_t>(loop_.accesses.size()), what, id, " names access ", number);
    return loop_.accesses[number];
  }

  void check_expr(ExprId id) {
    const Expr& e = loop_.exprs[id];
    const OpTraits& t = traits(e.op);
    bool moves = false;  // along a reduced dim
    for (int i = 0; i < 3; ++i) {
      const ExprId operand = operands(e)[i];
      if (i < t.operands) {
        require(operand >= 0 && operand < id, "%", id, " has operand ", operand);
        moves = moves || point_[operand];
      } else {
        require(operand == kNoExpr, "%", id, " (", t.name, ") has ", i + 1, " operands");
      }
    }
    require(is_expr_dtype(e.dtype), "%", id, " has dtype ", e.dtype);
    check_types(id, e, t);
    if (is_load(e.op)) {
      moves = moves || moves_along_reduced(loop_.accesses[e.imm_i]);
    } else if (e.op == Op::kIndex) {
      moves = moves || (e.imm_i >= loop_.kept && loop_.sizes[e.imm_i] > 1);
    }
    point_.push_back(moves && t.op_class != OpClass::kReduce);
  }

  void check_types(ExprId id, const Expr& e, const OpTraits& t) const {
    const auto require_operand = [&](ExprId operand, ScalarType expected) {
      require(dtype(operand) == expected, "%", id, " (", t.name, ") has an operand of dtype ", dtype(operand), ", expected ", expected);
    };
    switch (t.op_class) {
      case OpClass::kLeaf:
        require(accepts(t.accepts, e.dtype), "%", id, " (", t.name, ") has dtype ", e.dtype);
        check_leaf(id, e);
        return;
      case OpClass::kConvert:
        return;
      case OpClass::kUnary:
      case OpClass::kBinary:
        for (int i = 0; i < t.operands; ++i) {
          require_operand(operands(e)[i], e.dtype);
        }
        break;
      case OpClass::kPredicate:
      case OpClass::kCompare:
        require(e.dtype == ScalarType::Bool, "%", id, " (", t.name, ") has dtype ", e.dtype, ", expected Bool");
        if (t.operands == 2) {
          require_operand(e.b, dtype(e.a));
        }
        break;
      case OpClass::kTernary:
        require_operand(e.a, e.op == Op::kSelect ? ScalarType::Bool : e.dtype);
        require_operand(e.b, e.dtype);
        require_operand(e.c, e.dtype);
        return;
      case OpClass::kReduce:
        require(is_arg_reduce(e.op) ? e.dtype == ScalarType::Long : e.dtype == dtype(e.a), "%", id, " (", t.name, ") has dtype ", e.dtype,
                ", its operand ", dtype(e.a));
        break;
    }
    require(accepts(t.accepts, dtype(e.a)), "%", id, " (", t.name, ") does not take dtype ", dtype(e.a));
    require(e.op != Op::kCheckIndex || e.dtype == ScalarType::Long, "%", id, " (check_index) has dtype ", e.dtype);
  }

  void check_leaf(ExprId id, const Expr& e) const {
    switch (e.op) {
      case Op::kScalar:
        require(e.imm_i >= 0 && e.imm_i < static_cast<int64_t>(loop_.scalars.size()), "%", id, " names scalar ", e.imm_i);
        return;
      case Op::kIndex:
        require(e.dtype == ScalarType::Long, "%", id, " (index) has dtype ", e.dtype);
        require(e.imm_i >= 0 && e.imm_i < static_cast<int64_t>(loop_.sizes.size()), "%", id, " names dim ", e.imm_i);
        return;
      case Op::kLoad:
      case Op::kLoadAt: {
        const ScalarType memory = access("%", id, e.imm_i).dtype;
        require(e.dtype == compute_dtype(memory), "%", id, " loads ", memory, " as ", e.dtype);
        require(e.op == Op::kLoad || dtype(e.a) == ScalarType::Long, "%", id, " has a displacement of dtype ",
                e.a == kNoExpr ? e.dtype : dtype(e.a));
        return;
      }
      case Op::kUniform:
      case Op::kRandomBits:
        require(loop_.rng != ir::kNone, "%", id, " is random, the loop has no generator state");
        require(dtype(e.a) == ScalarType::Long, "%", id, " has an element of dtype ", dtype(e.a));
        require(e.op == Op::kUniform || e.dtype == ScalarType::Long, "%", id, " (random_bits) has dtype ", e.dtype);
        return;
      default:
        return;
    }
  }

  bool moves_along_reduced(const Access& a) const {
    for (size_t d = loop_.kept; d < loop_.sizes.size(); ++d) {
      if (a.strides[d] != 0 && loop_.sizes[d] > 1) {
        return true;
      }
    }
    return false;
  }

  void check_stores() const {
    const auto is_expr = [&](ExprId e) { return e >= 0 && e < static_cast<ExprId>(loop_.exprs.size()); };
    for (size_t i = 0; i < loop_.stores.size(); ++i) {
      const Store& s = loop_.stores[i];
      const Access& a = access("store ", i, s.access);
      require(is_expr(s.value), "store ", i, " stores %", s.value);
      require(dtype(s.value) == compute_dtype(a.dtype), "store ", i, " stores ", dtype(s.value), " into ", a.dtype);
      require(s.at == kNoExpr || (is_expr(s.at) && dtype(s.at) == ScalarType::Long), "store ", i, " is at %", s.at);
      require(!point_[s.value] || s.at != kNoExpr || moves_along_reduced(a), "store ", i,
              " stores a point-level value, its access does not move along the reduced dims");
    }
  }

  const Loop& loop_;
  std::vector<bool> point_;  // per expression: at point level
};

}  // namespace

void verify(const Loop& loop) {
  Verifier(loop).run();
}

}  // namespace torch_hpu::codegen
