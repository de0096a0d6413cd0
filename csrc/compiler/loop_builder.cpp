#include "csrc/compiler/loop_builder.h"

#include <c10/core/DefaultDtype.h>
#include <c10/util/strides.h>

#include <algorithm>
#include <bit>

#include "csrc/compiler/access.h"

namespace torch_hpu::compiler {

using c10::ScalarType;
using codegen::DimVector;
using codegen::Op;

ScalarType E::dtype() const {
  return builder->expr(*this).dtype;
}

LoopBuilder::LoopBuilder(LoweringContext& context, std::string name, DimVector sizes, size_t kept) : context_(context) {
  loop_.name = std::move(name);
  loop_.sizes = std::move(sizes);
  loop_.kept = static_cast<uint32_t>(kept);
}

E LoopBuilder::make(Op op, ScalarType dtype, E a, E b, E c, int64_t imm_i, double imm_d) {
  const Key key{static_cast<int>(op) << 8 | static_cast<int>(dtype), a.id, b.id, c.id, imm_i, std::bit_cast<uint64_t>(imm_d)};
  if (auto it = known_.find(key); it != known_.end()) {
    return {this, it->second};
  }
  codegen::Expr e;
  e.op = op;
  e.dtype = dtype;
  e.a = a.id;
  e.b = b.id;
  e.c = c.id;
  e.imm_i = imm_i;
  e.imm_d = imm_d;
  loop_.exprs.push_back(e);
  const auto id = static_cast<codegen::ExprId>(loop_.exprs.size() - 1);
  known_[key] = id;
  return {this, id};
}

uint32_t LoopBuilder::access(ir::WindowId id, const DimVector& strides, int64_t offset) {
  const ir::Window& w = context_.graph.windows[id];
  codegen::Access a;
  a.buffer = w.buffer;
  a.dtype = w.dtype;
  a.strides = strides;
  for (size_t d = 0; d < a.strides.size(); ++d) {
    if (loop_.sizes[d] == 1) {
      a.strides[d] = 0;  // one form for one map
    }
  }
  a.offset = offset;
  if (context_.graph.buffers[w.buffer].kind == ir::BufferKind::kInput) {
    a.dynamic = id;
  } else {
    a.offset += w.offset;
  }
  for (size_t i = 0; i < loop_.accesses.size(); ++i) {
    const codegen::Access& b = loop_.accesses[i];
    if (b.buffer == a.buffer && b.dtype == a.dtype && b.strides == a.strides && b.offset == a.offset && b.dynamic == a.dynamic) {
      return static_cast<uint32_t>(i);
    }
  }
  loop_.accesses.push_back(a);
  return static_cast<uint32_t>(loop_.accesses.size() - 1);
}

DimVector LoopBuilder::broadcast(ir::WindowId id) const {
  const ir::Window& w = context_.graph.windows[id];
  DimVector strides(loop_.sizes.size(), 0);
  TORCH_INTERNAL_ASSERT(w.sizes.size() <= loop_.sizes.size());
  const size_t shift = loop_.sizes.size() - w.sizes.size();
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    strides[d + shift] = w.sizes[d] == 1 ? 0 : w.strides[d];
  }
  return strides;
}

E LoopBuilder::load(ir::WindowId w, const DimVector& strides) {
  return load_at_offset(w, strides, 0);
}

E LoopBuilder::load_at_offset(ir::WindowId w, const DimVector& strides, int64_t offset) {
  return make(Op::kLoad, compute_dtype(context_.graph.windows[w].dtype), {}, {}, {}, access(w, strides, offset));
}

E LoopBuilder::load(ir::WindowId w) {
  return load(w, broadcast(w));
}

E LoopBuilder::load_at(ir::WindowId w, const DimVector& strides, E at) {
  return make(Op::kLoadAt, compute_dtype(context_.graph.windows[w].dtype), at, {}, {}, access(w, strides, 0));
}

E LoopBuilder::scalar(ir::ScalarId id, ScalarType dtype) {
  size_t slot = 0;
  while (slot < loop_.scalar_ids.size() && loop_.scalar_ids[slot] != id) {
    ++slot;
  }
  if (slot == loop_.scalar_ids.size()) {
    loop_.scalar_ids.push_back(id);
    loop_.scalars.push_back(context_.graph.scalars[id].category);
  }
  return make(Op::kScalar, dtype, {}, {}, {}, static_cast<int64_t>(slot));
}

E LoopBuilder::constant(double value, ScalarType dtype) {
  const bool floating = c10::isFloatingType(dtype);
  return make(Op::kConst, dtype, {}, {}, {}, floating ? 0 : static_cast<int64_t>(value), floating ? value : 0);
}

E LoopBuilder::integer(int64_t value) {
  return make(Op::kConst, ScalarType::Long, {}, {}, {}, value);
}

E LoopBuilder::index(size_t dim) {
  return make(Op::kIndex, ScalarType::Long, {}, {}, {}, static_cast<int64_t>(dim));
}

E LoopBuilder::check_index(E index, int64_t size) {
  return make(Op::kCheckIndex, ScalarType::Long, cast(index, ScalarType::Long), {}, {}, size);
}

E LoopBuilder::check_place(E index, int64_t size) {
  const E i = cast(index, ScalarType::Long);
  return check_index(where(i < 0.0, integer(size), i), size);
}

E LoopBuilder::linear_index() {
  E linear = integer(0);
  for (size_t d = 0; d < loop_.sizes.size(); ++d) {
    linear = linear * static_cast<double>(loop_.sizes[d]) + index(d);
  }
  return linear;
}

E LoopBuilder::uniform(E element, ScalarType dtype) {
  loop_.rng = context_.node.rng;
  return make(Op::kUniform, dtype, element);
}

E LoopBuilder::random_bits(E element) {
  loop_.rng = context_.node.rng;
  return make(Op::kRandomBits, ScalarType::Long, element);
}

void LoopBuilder::store(ir::WindowId w, const DimVector& strides, E value) {
  store_at_offset(w, strides, 0, value);
}

void LoopBuilder::store(ir::WindowId w, E value) {
  store(w, broadcast(w), value);
}

void LoopBuilder::store_at_offset(ir::WindowId id, const DimVector& strides, int64_t offset, E value) {
  const ScalarType dtype = context_.graph.windows[id].dtype;
  codegen::Store s;
  s.access = access(id, strides, offset);
  s.value = cast(value, compute_dtype(dtype)).id;
  loop_.stores.push_back(s);
}

void LoopBuilder::finish() {
  raise_stores(loop_);
  Item item;
  item.kind = Item::Kind::kLoop;
  item.loop = std::move(loop_);
  item.node = context_.node_index;
  context_.program.items.push_back(std::move(item));
}

bool LoopBuilder::finish_if_defined() {
  for (const codegen::Expr& e : loop_.exprs) {
    const codegen::OpTraits& t = codegen::traits(e.op);
    const ScalarType dtype = e.op == Op::kSelect || t.operands == 0 ? e.dtype : loop_.exprs[static_cast<size_t>(e.a)].dtype;
    if (!codegen::accepts(t.accepts, dtype)) {
      return false;
    }
  }
  finish();
  return true;
}

E cast(E x, ScalarType dtype) {
  return x.dtype() == dtype ? x : x.builder->make(Op::kCast, dtype, x);
}

E truth(E x) {
  return cast(x, ScalarType::Bool);
}

E unary(Op op, E x) {
  return x.builder->make(op, x.dtype(), x);
}

E binary(Op op, E a, E b) {
  TORCH_INTERNAL_ASSERT(a.dtype() == b.dtype(), "operands differ in dtype: ", a.dtype(), " and ", b.dtype());
  return a.builder->make(op, a.dtype(), a, b);
}

namespace {

E compare(Op op, E a, E b) {
  TORCH_INTERNAL_ASSERT(a.dtype() == b.dtype(), "operands differ in dtype: ", a.dtype(), " and ", b.dtype());
  return a.builder->make(op, ScalarType::Bool, a, b);
}

E like(E x, double value) {
  return x.builder->constant(value, x.dtype());
}

}  // namespace

// Bool has logic instead of arithmetic, as ATen's kernels have.
E operator+(E a, E b) {
  return binary(a.dtype() == ScalarType::Bool ? Op::kOr : Op::kAdd, a, b);
}
E operator-(E a, E b) {
  return binary(Op::kSub, a, b);
}
E operator*(E a, E b) {
  return binary(a.dtype() == ScalarType::Bool ? Op::kAnd : Op::kMul, a, b);
}
E operator/(E a, E b) {
  return binary(Op::kDiv, a, b);
}
E operator+(E a, double b) {
  return a + like(a, b);
}
E operator-(E a, double b) {
  return a - like(a, b);
}
E operator*(E a, double b) {
  return a * like(a, b);
}
E operator/(E a, double b) {
  return a / like(a, b);
}
E operator+(double a, E b) {
  return like(b, a) + b;
}
E operator-(double a, E b) {
  return like(b, a) - b;
}
E operator*(double a, E b) {
  return like(b, a) * b;
}
E operator/(double a, E b) {
  return like(b, a) / b;
}
E operator-(E a) {
  return unary(Op::kNeg, a);
}
E operator<(E a, E b) {
  return compare(Op::kLt, a, b);
}
E operator<=(E a, E b) {
  return compare(Op::kLe, a, b);
}
E operator>(E a, E b) {
  return compare(Op::kGt, a, b);
}
E operator>=(E a, E b) {
  return compare(Op::kGe, a, b);
}
E operator<(E a, double b) {
  return a < like(a, b);
}
E operator<=(E a, double b) {
  return a <= like(a, b);
}
E operator>(E a, double b) {
  return a > like(a, b);
}
E operator>=(E a, double b) {
  return a >= like(a, b);
}
E equal(E a, E b) {
  return compare(Op::kEq, a, b);
}
E not_equal(E a, E b) {
  return compare(Op::kNe, a, b);
}
E operator&(E a, E b) {
  return binary(Op::kAnd, a, b);
}
E operator|(E a, E b) {
  return binary(Op::kOr, a, b);
}
E operator^(E a, E b) {
  return binary(Op::kXor, a, b);
}
E operator!(E a) {
  return unary(Op::kBitNot, truth(a));
}
E where(E condition, E a, E b) {
  TORCH_INTERNAL_ASSERT(a.dtype() == b.dtype());
  return a.builder->make(Op::kSelect, a.dtype(), truth(condition), a, b);
}
E minimum(E a, E b) {
  return binary(Op::kMin, a, b);
}
E maximum(E a, E b) {
  return binary(Op::kMax, a, b);
}
E exp(E x) {
  return unary(Op::kExp, x);
}
E log(E x) {
  return unary(Op::kLog, x);
}
E log1p(E x) {
  return unary(Op::kLog1p, x);
}
E sqrt(E x) {
  return unary(Op::kSqrt, x);
}
E rsqrt(E x) {
  return unary(Op::kRsqrt, x);
}
E tanh(E x) {
  return unary(Op::kTanh, x);
}
E sigmoid(E x) {
  return unary(Op::kSigmoid, x);
}
E erf(E x) {
  return unary(Op::kErf, x);
}
E abs(E x) {
  return x.dtype() == ScalarType::Bool ? x : unary(Op::kAbs, x);
}
E pow(E a, E b) {
  return binary(Op::kPow, a, b);
}
E sum(E x) {
  return unary(Op::kReduceSum, x);
}
E prod(E x) {
  return unary(Op::kReduceProd, x);
}
E max_of(E x) {
  return unary(Op::kReduceMax, x);
}
E min_of(E x) {
  return unary(Op::kReduceMin, x);
}

E displacement(E place, const ir::Window& w) {
  LoopBuilder& b = *place.builder;
  if (c10::IntArrayRef(w.strides).equals(c10::contiguous_strides(w.sizes))) {
    return place;
  }
  E at = b.integer(0);
  for (size_t d = w.sizes.size(); d-- > 0;) {
    const E size = b.integer(w.sizes[d]);
    at = at + binary(Op::kRemainder, place, size) * static_cast<double>(w.strides[d]);
    place = binary(Op::kDivFloor, place, size);
  }
  return at;
}

bool loopable(const ir::Window& w) {
  return !w.conj && !w.neg && codegen::is_expr_dtype(compute_dtype(w.dtype));
}

bool loopable(const LoweringContext& c) {
  for (const ir::Arg& arg : c.node.args) {
    if (arg.kind == ir::Arg::Kind::kWindow && !loopable(c.graph.windows[arg.index])) {
      return false;
    }
    if ((arg.kind == ir::Arg::Kind::kScalar || arg.kind == ir::Arg::Kind::kScalarTensor) &&
        c.graph.scalars[arg.index].category == ir::ScalarCategory::kComplex) {
      return false;
    }
    if (arg.kind == ir::Arg::Kind::kWindowList) {
      for (uint32_t k = 0; k < arg.count; ++k) {
        const ir::WindowId w = c.graph.list_items[arg.index + k];
        if (w != ir::kNone && !loopable(c.graph.windows[w])) {
          return false;
        }
      }
    }
  }
  for (ir::WindowId w : c.node.writes) {
    if (w != ir::kNone && !loopable(c.graph.windows[w])) {
      return false;
    }
  }
  return true;
}

void Promotion::tensor(ScalarType dtype, bool has_dims, bool wrapped) {
  ScalarType& slot = wrapped ? wrapped_ : has_dims ? dims_ : zero_;
  if (wrapped && c10::isFloatingType(dtype)) {
    dtype = c10::get_default_dtype_as_scalartype();
  }
  slot = slot == ScalarType::Undefined ? dtype : c10::promoteTypes(slot, dtype);
}

void Promotion::scalar(ir::ScalarCategory category) {
  tensor(category == ir::ScalarCategory::kBool  ? ScalarType::Bool
         : category == ir::ScalarCategory::kInt ? ScalarType::Long
                                                : ScalarType::Double,
         false, /*wrapped=*/true);
}

ScalarType Promotion::result() const {
  // A lower priority only matters when its category (bool < integer < floating point) is higher.
  auto category = [](ScalarType t) {
    return t == ScalarType::Undefined ? -1 : t == ScalarType::Bool ? 0 : c10::isIntegralType(t, false) ? 1 : 2;
  };
  auto combine = [&](ScalarType higher, ScalarType lower) {
    if (category(lower) > category(higher)) {
      return higher == ScalarType::Undefined ? lower : c10::promoteTypes(higher, lower);
    }
    return higher == ScalarType::Undefined ? lower : higher;
  };
  return combine(dims_, combine(zero_, wrapped_));
}

}  // namespace torch_hpu::compiler
