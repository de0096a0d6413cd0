// Pointwise ops as rows: a name, how it promotes, and its formula over the loaded arguments. A family of rows is one file;
// lower_pointwise.cpp loads the arguments and stores the result. A row needs its twin in the op table (csrc/ir/op_table.cpp).
#pragma once

#include <limits>

#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler::pointwise {

using c10::ScalarType;
using codegen::Op;

// The arguments of a pointwise op by their place in the schema; one that was left out is false.
struct Args {
  LoweringContext& context;
  LoopBuilder& builder;
  std::vector<E> x;
  ScalarType dtype;  // of the computation

  E operator[](size_t i) const {
    return x[i];
  }
  E constant(double value) const {
    return builder.constant(value, dtype);
  }
  const c10::IValue& attribute(size_t i) const {
    return context.node.args[i].value;
  }
};

enum class Kind : uint8_t {
  kCommon,  // computed in the common dtype
  kFloat,   // integers become the default float dtype
  kFirst,   // in the dtype of argument 0: the others are cast
};

struct Row {
  const char* name;
  Kind kind;
  uint64_t scalars;  // numbers that take part in type promotion (bit i: argument i)
  E (*formula)(const Args& x);
};

std::vector<Row> arithmetic_rows();  // pointwise_arithmetic.cpp: arithmetic, comparison, logic, bits, rounding
std::vector<Row> function_rows();    // pointwise_functions.cpp: exponentials, trigonometry, special functions
std::vector<Row> activation_rows();  // pointwise_activations.cpp: activations and their backwards

inline constexpr Kind C = Kind::kCommon, F = Kind::kFloat;
inline constexpr double kInfinity = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

template <Op op>
E unary_row(const Args& a) {
  return unary(op, a[0]);
}
template <Op op>
E binary_row(const Args& a) {
  return binary(op, a[0], a[1]);
}

inline E unary_to_bool(Op op, E x) {
  return x.builder->make(op, ScalarType::Bool, x);
}

}  // namespace torch_hpu::compiler::pointwise
