// One row per op of the loop IR: its name in dumps, its operands, what dtypes it takes, what it costs.
#pragma once

#include <array>

#include "csrc/codegen/loop.h"

namespace torch_hpu::codegen {

enum class OpClass : uint8_t {
  kLeaf,
  kConvert,    // any -> any
  kUnary,      // T -> T
  kPredicate,  // floating point -> Bool
  kBinary,     // T, T -> T
  kCompare,    // T, T -> Bool
  kTernary,    // select, fma
  kReduce,
};

// Sets of dtypes an op accepts.
enum Accepts : uint8_t { kAcceptsFloat = 1, kAcceptsInt = 2, kAcceptsBool = 4, kAcceptsNumber = 3, kAcceptsAll = 7 };

struct OpTraits {
  const char* name;
  OpClass op_class;
  uint8_t operands;  // how many of a, b, c
  uint8_t accepts;   // dtype of the operands (of the result for leaves)
  uint8_t cost;      // about the cycles of one vector
};

const OpTraits& traits(Op op);

inline bool is_reduce(Op op) {
  return traits(op).op_class == OpClass::kReduce;
}
inline bool is_arg_reduce(Op op) {
  return op == Op::kReduceArgMin || op == Op::kReduceArgMax;
}
inline bool is_load(Op op) {
  return op == Op::kLoad || op == Op::kLoadAt;
}
inline bool is_float(c10::ScalarType t) {
  return t == c10::ScalarType::Float || t == c10::ScalarType::Double;
}

inline bool accepts(uint8_t set, c10::ScalarType t) {
  return (set & (t == c10::ScalarType::Bool ? kAcceptsBool : is_float(t) ? kAcceptsFloat : kAcceptsInt)) != 0;
}

// The dtypes of expressions.
bool is_expr_dtype(c10::ScalarType t);
// The dtype in which values of a memory dtype are computed: Float for half and bfloat16, otherwise the same.
c10::ScalarType compute_dtype(c10::ScalarType memory);

// The operand expressions in order a, b, c.
inline std::array<ExprId, 3> operands(const Expr& e) {
  return {e.a, e.b, e.c};
}

}  // namespace torch_hpu::codegen
