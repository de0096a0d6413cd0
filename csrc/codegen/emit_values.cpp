// Expressions on demand, each at its own level (Note [Scopes]).
#include <c10/util/Exception.h>

#include "csrc/codegen/emitter.h"

namespace torch_hpu::codegen {

using c10::ScalarType;

// Runs `emit` with the builder at the end of the code of `level`.
Value* Emitter::at_level(int level, const std::function<Value*()>& emit) {
  if (level == level_) {
    return emit();
  }
  TORCH_INTERNAL_ASSERT(level < level_, "an expression of level ", level, " is asked for at level ", level_);
  llvm::BasicBlock* here = b.GetInsertBlock();
  const int inner = level_;
  level_ = level;
  b.SetInsertPoint(scopes_[level].hoist);
  Value* v = emit();
  scopes_[level].hoist = b.GetInsertBlock();
  b.SetInsertPoint(here);
  level_ = inner;
  return v;
}

// `copy` numbers the vectors of an unrolled loop. Expressions that do not vary along the vector dim are scalars.
Value* Emitter::value(ExprId e, int copy) {
  const std::pair<int, int> key{e, plan_.varies(e) ? copy : 0};
  const int level = level_of_[e];
  if (Value* known = scopes_[level].values.lookup(key)) {
    return known;
  }
  Value* v = at_level(level, [&] { return compute(e, key.second); });
  scopes_[level].values[key] = v;
  return v;
}

Value* Emitter::splat(Value* v) {
  return b.CreateVectorSplat(static_cast<unsigned>(plan_.lanes), v);
}

Value* Emitter::vector_value(ExprId e, int copy) {
  if (plan_.varies(e)) {
    return value(e, copy);
  }
  const int level = level_of_[e];
  if (Value* known = scopes_[level].values.lookup({e, kSplat})) {
    return known;
  }
  Value* v = at_level(level, [&] { return splat(value(e, 0)); });
  scopes_[level].values[{e, kSplat}] = v;
  return v;
}

Value* Emitter::compute(ExprId id, int copy) {
  const Expr& e = plan_.loop.exprs[id];
  const int slot = saved_slot_[id];
  if (slot >= 0 && walk_ > plan_.saved[slot].pass) {
    Type* t = Alu::with_lanes(alu_.type_of(e.dtype), plan_.lanes);
    return b.CreateAlignedLoad(t, saved_pointer(slot, copy), llvm::Align(c10::elementSize(e.dtype)));
  }
  if (plan_.affine_of[id] >= 0) {
    return affine_value(plan_.affine_of[id], level_of_[id], copy);
  }
  switch (e.op) {
    case Op::kConst: {
      Type* t = alu_.type_of(e.dtype);
      return is_float(e.dtype) ? alu_.constant(t, e.imm_d) : alu_.constant(t, e.imm_i);
    }
    case Op::kScalar:
      return scalar(e.imm_i, e.dtype);
    case Op::kLoad:
      return load(static_cast<int>(e.imm_i), level_of_[id], copy, kNoExpr);
    case Op::kLoadAt:
      return load(static_cast<int>(e.imm_i), level_of_[id], copy, e.a);
    case Op::kCheckIndex:
      return alu_.check_index(value(e.a, copy), e.imm_i);
    case Op::kUniform:
    case Op::kRandomBits:
      return random(e, copy);
    case Op::kCast:
      return alu_.cast(value(e.a, copy), plan_.loop.exprs[e.a].dtype, e.dtype);
    default:
      break;
  }
  if (is_reduce(e.op)) {
    TORCH_INTERNAL_ASSERT(plan_.split_dim >= 0, "%", id, " is used before its walk");
    return total_of_partials(id, copy);
  }
  llvm::SmallVector<Value*, 3> x;
  for (int k = 0; k < traits(e.op).operands; ++k) {
    const ExprId operand = operands(e)[k];
    x.push_back(plan_.varies(id) ? vector_value(operand, copy) : value(operand, copy));
  }
  return alu_.apply(e.op, plan_.loop.exprs[e.op == Op::kSelect ? e.b : e.a].dtype, x);
}

int Emitter::level_of_dim(int dim) const {
  return dim >= plan_.kept() ? item_level_ + 1 + dim - plan_.kept() : !plan_.row_mode && dim == plan_.vector_dim ? 2 : 1;
}

// The part of an affine expression that is the same for all lanes, as far as it is known at `level`.
Value* Emitter::affine_scalar(int affine, int level) {
  if (Value* known = scopes_[level].affine.lookup(affine)) {
    return known;
  }
  const Affine& a = affines_[affine];
  Value* v = level == 0 ? b.getInt64(a.constant) : affine_scalar(affine, level - 1);
  v = at_level(level, [&]() -> Value* {
    Value* sum = v;
    for (int d = 0; d < plan_.rank(); ++d) {
      if (a.coefs[d] != 0 && level_of_dim(d) == level) {
        sum = b.CreateAdd(sum, b.CreateMul(coords_[d], b.getInt64(a.coefs[d])));
      }
    }
    return sum;
  });
  scopes_[level].affine[affine] = v;
  return v;
}

Value* Emitter::affine_value(int affine, int level, int copy) {
  Value* base = affine_scalar(affine, level);
  const int64_t coef = affines_[affine].coefs[plan_.vector_dim];
  if (coef == 0) {
    return base;
  }
  llvm::SmallVector<llvm::Constant*, 64> steps;
  for (int64_t i = 0; i < plan_.lanes; ++i) {
    steps.push_back(b.getInt64((copy * int64_t{plan_.lanes} + i) * coef));
  }
  return b.CreateAdd(splat(base), llvm::ConstantVector::get(steps));
}

Value* Emitter::scalar_bits(int64_t slot, bool is_double) {
  Value* p = b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), scalars_, slot * sizeof(ir::ScalarValue));
  return b.CreateLoad(is_double ? b.getDoubleTy() : b.getInt64Ty(), p);
}

Value* Emitter::scalar(int64_t slot, ScalarType to) {
  const ir::ScalarCategory c = plan_.loop.scalars[slot];
  const bool is_double = c == ir::ScalarCategory::kFloat || c == ir::ScalarCategory::kComplex;
  return alu_.cast(scalar_bits(slot, is_double), is_double ? ScalarType::Double : ScalarType::Long, to);
}

// Whether the lanes of a vector are consecutive elements that begin with a whole Philox block: vectors begin at multiples of
// the lanes, so all that moves the element otherwise must be a multiple of four.
bool Emitter::whole_blocks(ExprId element) const {
  if (plan_.affine_of[element] < 0 || plan_.lanes % 4 != 0) {
    return false;
  }
  const Affine& a = affines_[plan_.affine_of[element]];
  for (int d = 0; d < plan_.rank(); ++d) {
    if (d == plan_.vector_dim ? a.coefs[d] != 1 : a.coefs[d] % 4 != 0) {
      return false;
    }
  }
  return a.constant % 4 == 0;
}

// The generator's keys for values of `lanes`, computed once in the function.
const PhiloxKeys& Emitter::random_keys(int lanes) {
  PhiloxKeys& keys = random_keys_[lanes];
  if (keys.empty()) {
    at_level(0, [&] {
      keys = alu_.philox_keys(scalar_bits(plan_.loop.rng, false), lanes);
      return nullptr;
    });
  }
  return keys;
}

Value* Emitter::random(const Expr& e, int copy) {
  if (!rng_offset_) {
    at_level(0, [&] { return rng_offset_ = scalar_bits(plan_.loop.rng + 1, false); });
  }
  if (e.op == Op::kUniform && e.dtype == ScalarType::Float && whole_blocks(e.a)) {
    Value* first = affine_scalar(plan_.affine_of[e.a], level_);
    first = b.CreateAdd(first, b.getInt64(int64_t{copy} * plan_.lanes));
    return alu_.uniform_run(random_keys(plan_.lanes / 4), rng_offset_, first, plan_.lanes);
  }
  Value* element = value(e.a, copy);
  const PhiloxKeys& keys = random_keys(Alu::lanes_of(element));
  return e.op == Op::kUniform ? alu_.uniform(keys, rng_offset_, element, e.dtype == ScalarType::Double)
                              : alu_.random_bits(keys, rng_offset_, element);
}

// Remembers that a lane inside the loop's space went wrong; the function reports it when it ends.
void Emitter::fault(Value* bad, Fault kind) {
  if (Alu::lanes_of(bad) > 0) {
    bad = b.CreateOrReduce(mask_ ? b.CreateAnd(bad, mask_) : bad);
  }
  llvm::AllocaInst* flag = fault_flags_[static_cast<size_t>(kind)];
  b.CreateStore(b.CreateOr(b.CreateLoad(b.getInt1Ty(), flag), bad), flag);
}

}  // namespace torch_hpu::codegen
