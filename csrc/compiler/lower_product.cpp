// Matrix products of all ranks as one library primitive.
#include <algorithm>

#include "csrc/compiler/library_calls.h"

namespace torch_hpu::compiler {
namespace {

using kernels::Operand;
using kernels::Primitive;

// [.., n] as [.., n, 1], or as [.., 1, n].
Operand as_column(Operand o) {
  o.sizes.push_back(1);
  o.strides.push_back(1);
  return o;
}
Operand as_row(Operand o) {
  o.sizes.insert(o.sizes.end() - 1, 1);
  o.strides.insert(o.strides.end() - 1, o.sizes.back() * std::max<int64_t>(o.strides.back(), 1));
  return o;
}
Operand transposed(Operand o) {
  std::swap(o.sizes.end()[-1], o.sizes.end()[-2]);
  std::swap(o.strides.end()[-1], o.strides.end()[-2]);
  return o;
}

// Whether a product can read or write a matrix as it lies: one of its dims is contiguous, none is repeated.
bool suits_product(const Operand& o) {
  const size_t n = o.sizes.size();
  if (n < 2) {
    return true;  // a vector becomes a row or a column
  }
  const int64_t rows = o.sizes[n - 2], cols = o.sizes[n - 1], row = o.strides[n - 2], col = o.strides[n - 1];
  return (col == 1 || row == 1 || rows == 1 || cols == 1) && (col != 0 || cols == 1) && (row != 0 || rows == 1);
}

// The roles of a product: how the node's operands become matrices.
struct Product {
  Operand (*a)(Operand) = nullptr;  // null: as it is
  Operand (*b)(Operand) = nullptr;
  Operand (*out)(Operand) = nullptr;
  size_t first = 0;                      // argument of a; b follows
  int bias = -1, beta = -1, alpha = -1;  // arguments, -1: none
};

Operand shaped(Operand (*f)(Operand), const Operand& o) {
  return f == nullptr ? o : f(o);
}

// Alpha and beta as run-time arguments; false for complex ones. -1: the op has none.
bool factors(const LoweringContext& c, const Product& p, kernels::LibraryCall& call) {
  for (int argument : {p.alpha, p.beta}) {
    if (argument < 0) {
      continue;
    }
    const ir::Arg& arg = c.node.args[static_cast<size_t>(argument)];
    if (arg.kind != ir::Arg::Kind::kScalar || c.graph.scalars[arg.index].category == ir::ScalarCategory::kComplex) {
      return false;
    }
    call.scalars.push_back(arg.index);
    call.floats.push_back(c.graph.scalars[arg.index].category == ir::ScalarCategory::kFloat ? 0 : 1);
  }
  return true;
}

bool lower_product(LoweringContext& c, const Product& p) {
  if (!plain_windows(c) || !is_tensor(c, p.first) || !is_tensor(c, p.first + 1) || c.node.writes[0] == ir::kNone) {
    return false;
  }
  CallBuilder builder(c, Primitive::kMatmul);
  const bool has_bias = p.bias >= 0 && !c.node.args[static_cast<size_t>(p.bias)].is_none();
  if (!factors(c, p, builder.call) || (has_bias && !is_tensor(c, static_cast<size_t>(p.bias)))) {
    return false;
  }
  const c10::ScalarType dtype = c.window(p.first).dtype;
  for (size_t i : {p.first, p.first + 1}) {
    const Operand o = shaped(i == p.first ? p.a : p.b, builder.argument(i));
    builder.call.reads.push_back(suits_product(o) ? o : builder.dense(o));
  }
  Operand bias;
  bool accumulate = false;
  if (has_bias) {
    const auto i = static_cast<size_t>(p.bias);
    // In place, self is what out holds already.
    const ir::Window &self = c.window(i), &out = c.write(0);
    accumulate = self.buffer == out.buffer && self.offset == out.offset && self.dtype == out.dtype && self.sizes == out.sizes &&
                 self.strides == out.strides && self.dtype == dtype && self.buffer != c.window(p.first).buffer &&
                 self.buffer != c.window(p.first + 1).buffer && suits_product(builder.operand(c.node.writes[0]));
    if (!accumulate) {
      bias = builder.argument(i);
      bias = kernels::dense(bias) ? bias : builder.dense(bias);
    }
  }
  builder.call.reads.push_back(bias.buffer == ir::kNone ? bias : shaped(p.out, bias));
  const Operand out = accumulate ? builder.operand(c.node.writes[0]) : builder.destination(0, dtype, suits_product);
  builder.call.writes.push_back(shaped(p.out, out));
  builder.call.ints = {accumulate};
  if (accumulate) {
    builder.call.reads.push_back(builder.call.writes[0]);  // so that passes see the old bytes being used
  }
  return builder.commit();
}

bool lower_mm(LoweringContext& c) {  // (self, mat2); also bmm
  return lower_product(c, {});
}
bool lower_addmm(LoweringContext& c) {  // (self, mat1, mat2, beta, alpha); also baddbmm
  return lower_product(c, {.first = 1, .bias = 0, .beta = 3, .alpha = 4});
}
bool lower_mv(LoweringContext& c) {  // (self, vec)
  return lower_product(c, {.b = as_column, .out = as_column});
}
bool lower_addmv(LoweringContext& c) {  // (self, mat, vec, beta, alpha)
  return lower_product(c, {.b = as_column, .out = as_column, .first = 1, .bias = 0, .beta = 3, .alpha = 4});
}
bool lower_dot(LoweringContext& c) {  // (self, tensor); also vdot
  return lower_product(c, {.a = as_row, .b = as_column, .out = [](Operand o) { return as_column(as_column(o)); }});
}
bool lower_linear(LoweringContext& c) {  // (input, weight, bias?)
  return c.window(0).sizes.size() >= 2 && c.window(1).sizes.size() == 2 && lower_product(c, {.b = transposed, .bias = 2});
}

}  // namespace

std::vector<LoweringRow> product_lowerings() {
  return {
      {"mm", &lower_mm},       {"bmm", &lower_mm},  {"addmm", &lower_addmm}, {"baddbmm", &lower_addmm}, {"mv", &lower_mv},
      {"addmv", &lower_addmv}, {"dot", &lower_dot}, {"vdot", &lower_dot},    {"linear", &lower_linear},
  };
}

}  // namespace torch_hpu::compiler
