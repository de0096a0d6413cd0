// Writing loops: expressions with operators, appended to a codegen::Loop with common subexpressions shared.
#pragma once

#include <map>
#include <tuple>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/lower.h"

namespace torch_hpu::compiler {

class LoopBuilder;

// An expression of the loop that is being built. Cheap to copy; a default one stands for an argument that was left out.
struct E {
  LoopBuilder* builder = nullptr;
  codegen::ExprId id = codegen::kNoExpr;

  explicit operator bool() const {
    return builder != nullptr;
  }
  c10::ScalarType dtype() const;
};

using codegen::compute_dtype;

class LoopBuilder {
 public:
  // The first `kept` dims are kept, the others reduced.
  LoopBuilder(LoweringContext& context, std::string name, codegen::DimVector sizes, size_t kept);

  // Window `w` with these strides over the iteration space; its value in compute_dtype(w.dtype).
  E load(ir::WindowId w, const codegen::DimVector& strides);
  // The same, broadcast against the iteration space from the right, as pointwise operands are.
  E load(ir::WindowId w);
  // `offset` elements behind the window's start.
  E load_at_offset(ir::WindowId w, const codegen::DimVector& strides, int64_t offset);
  // Displaced by `at` elements (Long).
  E load_at(ir::WindowId w, const codegen::DimVector& strides, E at);
  E scalar(ir::ScalarId id, c10::ScalarType dtype);
  E constant(double value, c10::ScalarType dtype);
  E integer(int64_t value);  // Long
  E index(size_t dim);       // Long
  E check_index(E index, int64_t size);
  E check_place(E index, int64_t size);         // the same where negative indices are wrong too
  E linear_index();                             // of the point, in logical order
  E uniform(E element, c10::ScalarType dtype);  // of the node's random stream
  E random_bits(E element);                     // of the same stream

  // Stores `value`, cast to the window's dtype as copy_ does.
  void store(ir::WindowId w, const codegen::DimVector& strides, E value);
  void store(ir::WindowId w, E value);  // the window has the sizes of the iteration space
  // Into a part of the window, `offset` elements behind its start.
  void store_at_offset(ir::WindowId w, const codegen::DimVector& strides, int64_t offset, E value);

  E make(codegen::Op op, c10::ScalarType dtype, E a = {}, E b = {}, E c = {}, int64_t imm_i = 0, double imm_d = 0);
  const codegen::Expr& expr(E e) const {
    return loop_.exprs[static_cast<size_t>(e.id)];
  }
  const codegen::DimVector& sizes() const {
    return loop_.sizes;
  }

  // Appends the loop to the program.
  void finish();
  // The same, unless an op of it is not defined for its operands' dtype (a floating point function of integers: ATen's kernel then tells the user).
  bool finish_if_defined();

 private:
  uint32_t access(ir::WindowId w, const codegen::DimVector& strides, int64_t offset);
  codegen::DimVector broadcast(ir::WindowId w) const;

  LoweringContext& context_;
  codegen::Loop loop_;
  using Key = std::tuple<int, int, int, int, int64_t, uint64_t>;
  std::map<Key, codegen::ExprId> known_;
};

E cast(E x, c10::ScalarType dtype);
// Bool as x != 0.
E truth(E x);
E operator+(E a, E b);
E operator-(E a, E b);
E operator*(E a, E b);
E operator/(E a, E b);
E operator+(E a, double b);
E operator-(E a, double b);
E operator*(E a, double b);
E operator/(E a, double b);
E operator+(double a, E b);
E operator-(double a, E b);
E operator*(double a, E b);
E operator/(double a, E b);
E operator-(E a);
E operator<(E a, E b);
E operator<=(E a, E b);
E operator>(E a, E b);
E operator>=(E a, E b);
E operator<(E a, double b);
E operator<=(E a, double b);
E operator>(E a, double b);
E operator>=(E a, double b);
E equal(E a, E b);
E not_equal(E a, E b);
E operator&(E a, E b);
E operator|(E a, E b);
E operator^(E a, E b);
E operator!(E a);
E unary(codegen::Op op, E x);
E binary(codegen::Op op, E a, E b);
E where(E condition, E a, E b);
E minimum(E a, E b);
E maximum(E a, E b);
E exp(E x);
E log(E x);
E log1p(E x);
E sqrt(E x);
E rsqrt(E x);
E tanh(E x);
E sigmoid(E x);
E erf(E x);
E abs(E x);
E pow(E a, E b);
E sum(E x);  // over the reduced dims
E prod(E x);
E max_of(E x);
E min_of(E x);

// How far the element at `place` (Long), counted in logical order, lies behind the window's start.
E displacement(E place, const ir::Window& w);

// Whether loops can compute on this window: no conj or neg bit, a real dtype.
bool loopable(const ir::Window& w);
bool loopable(const LoweringContext& context);  // every window of the node

// The common dtype of tensors and scalars as ATen promotes: tensors with dims before 0-dim ones before wrapped numbers.
class Promotion {
 public:
  void tensor(c10::ScalarType dtype, bool has_dims, bool wrapped);
  void scalar(ir::ScalarCategory category);
  c10::ScalarType result() const;

 private:
  c10::ScalarType dims_ = c10::ScalarType::Undefined, zero_ = c10::ScalarType::Undefined, wrapped_ = c10::ScalarType::Undefined;
};

}  // namespace torch_hpu::compiler
