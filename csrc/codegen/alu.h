// The ops of the loop IR as LLVM instructions. A value is a scalar or a vector of any number of lanes; one code serves both.
// Knows nothing of loops, memory and levels.
#pragma once

#include <llvm/IR/IRBuilder.h>

#include <functional>

#include "csrc/codegen/code.h"
#include "csrc/codegen/op_traits.h"

namespace torch_hpu::codegen {

using llvm::Type;
using llvm::Value;

using PhiloxKeys = llvm::SmallVector<Value*, 20>;

class Alu {
 public:
  // `fault(bad, kind)` receives an i1 (or a vector of them): where it is true, the run must fail.
  using FaultFn = std::function<void(Value* bad, Fault kind)>;
  Alu(llvm::IRBuilder<>& builder, FaultFn fault) : b(builder), fault_(std::move(fault)) {}

  // Unary to ternary ops. The operands have `type` (of exprs[a]; kSelect: of b).
  Value* apply(Op op, c10::ScalarType type, llvm::ArrayRef<Value*> x);
  Value* cast(Value* x, c10::ScalarType from, c10::ScalarType to);
  Value* check_index(Value* index, int64_t size);

  // Philox. Keys and elements have the same number of lanes; uniform_run's keys have a quarter of `lanes`.
  PhiloxKeys philox_keys(Value* seed, int lanes);
  Value* uniform(const PhiloxKeys& keys, Value* offset, Value* element, bool is_double);
  Value* random_bits(const PhiloxKeys& keys, Value* offset, Value* element);
  // Elements first, first + 1, ...; `first` (a scalar) and `lanes` are multiples of four.
  Value* uniform_run(const PhiloxKeys& keys, Value* offset, Value* first, int lanes);

  // Types and constants.
  Type* type_of(c10::ScalarType t);
  static Type* with_lanes(Type* t, int lanes);  // lanes 0: the scalar
  static int lanes_of(Value* v);                // 0: a scalar
  Type* like(Value* v, Type* element);          // `element` with the lanes of v
  Value* constant(Type* t, double d);
  Value* constant(Type* t, int64_t i);
  Value* select(Value* c, Value* x, Value* y) {
    return b.CreateSelect(c, x, y);
  }
  Value* fma(Value* x, Value* y, Value* z);  // fused where the host can
  Value* call_array(const std::string& name, llvm::ArrayRef<Value*> x);

 private:
  Value* float_unary(Op op, Value* x);
  Value* float_binary(Op op, Value* x, Value* y);
  Value* int_unary(Op op, Value* x, c10::ScalarType type);
  Value* int_binary(Op op, Value* x, Value* y, bool is_unsigned);
  Value* bool_op(Op op, llvm::ArrayRef<Value*> x);
  Value* compare(Op op, c10::ScalarType type, Value* x, Value* y);
  Value* divide(Op op, Value* x, Value* y, bool is_unsigned);
  Value* quotient(Value* x, Value* y, bool is_unsigned);
  std::array<Value*, 4> philox(const PhiloxKeys& keys, Value* block);
  Value* to_uniform(Value* word);
  Value* function(Op op, c10::ScalarType type, llvm::ArrayRef<Value*> x);  // SLEEF or an array function
  Value* widen_range(Op op, c10::ScalarType type, Value* x, Value* y);
  Value* call_vector(const std::string& name, int lanes, llvm::ArrayRef<Value*> x);

  // Inline math for Float (float_math.cpp). Null: not inlined.
  Value* float_math(Op op, Value* x);
  Value* exp_float(Value* x);
  Value* exp2_float(Value* x);
  Value* expm1_float(Value* x);
  Value* log_float(Value* x);
  Value* log1p_float(Value* x);
  Value* tanh_float(Value* x);
  Value* erf_float(Value* x);
  Value* sincos_float(Op op, Value* x);
  std::pair<Value*, Value*> reduce_exp(Value* x);
  std::pair<Value*, Value*> split_exponent(Value* x);
  Value* assemble_log(Value* x, Value* e, Value* f);
  Value* scale_by_power(Value* x, Value* n);
  Value* power_of_two(Value* n);
  Value* to_int(Value* x);
  Value* at_most(Value* x, double bound);
  Value* at_least(Value* x, double bound);
  Value* polynomial(Value* x, llvm::ArrayRef<double> coefs);

  Value* intrinsic(llvm::Intrinsic::ID id, Value* x) {
    return b.CreateUnaryIntrinsic(id, x);
  }
  llvm::AllocaInst* local(Type* t);

  llvm::IRBuilder<>& b;
  FaultFn fault_;
};

}  // namespace torch_hpu::codegen
