// Dispatch, types, comparisons, casts.
#include "csrc/codegen/alu.h"

#include <llvm/IR/Intrinsics.h>

namespace torch_hpu::codegen {

using c10::ScalarType;
using llvm::Intrinsic::ID;

Type* Alu::type_of(ScalarType t) {
  switch (t) {
    case ScalarType::Bool:
      return b.getInt1Ty();
    case ScalarType::Byte:
    case ScalarType::Char:
      return b.getInt8Ty();
    case ScalarType::Short:
      return b.getInt16Ty();
    case ScalarType::Int:
      return b.getInt32Ty();
    case ScalarType::Long:
      return b.getInt64Ty();
    case ScalarType::Float:
      return b.getFloatTy();
    default:
      return b.getDoubleTy();
  }
}

Type* Alu::with_lanes(Type* t, int lanes) {
  return lanes == 0 ? t : llvm::FixedVectorType::get(t, static_cast<unsigned>(lanes));
}

int Alu::lanes_of(Value* v) {
  const auto* t = llvm::dyn_cast<llvm::FixedVectorType>(v->getType());
  return t ? static_cast<int>(t->getNumElements()) : 0;
}

Type* Alu::like(Value* v, Type* element) {
  return with_lanes(element, lanes_of(v));
}

Value* Alu::constant(Type* t, double d) {
  return llvm::ConstantFP::get(t, d);
}

Value* Alu::constant(Type* t, int64_t i) {
  return llvm::ConstantInt::get(t, static_cast<uint64_t>(i), /*isSigned=*/true);
}

Value* Alu::fma(Value* x, Value* y, Value* z) {
  return b.CreateIntrinsic(llvm::Intrinsic::fmuladd, {x->getType()}, {x, y, z});
}

llvm::AllocaInst* Alu::local(Type* t) {
  llvm::BasicBlock& entry = b.GetInsertBlock()->getParent()->getEntryBlock();
  llvm::IRBuilder<> at_entry(&entry, entry.begin());
  llvm::AllocaInst* a = at_entry.CreateAlloca(t);
  a->setAlignment(llvm::Align(64));
  return a;
}

Value* Alu::apply(Op op, ScalarType type, llvm::ArrayRef<Value*> x) {
  const OpClass c = traits(op).op_class;
  if (op == Op::kSelect) {
    return select(x[0], x[1], x[2]);
  }
  if (c == OpClass::kCompare) {
    return compare(op, type, x[0], x[1]);
  }
  if (type == ScalarType::Bool) {
    return bool_op(op, x);
  }
  if (op == Op::kFma) {
    return is_float(type) ? fma(x[0], x[1], x[2]) : b.CreateAdd(b.CreateMul(x[0], x[1]), x[2]);
  }
  if (op == Op::kPow || op == Op::kGcd || (is_float(type) && op == Op::kFmod)) {
    return function(op, type, x);
  }
  if (!is_float(type)) {
    return x.size() == 1 ? int_unary(op, x[0], type) : int_binary(op, x[0], x[1], type == ScalarType::Byte);
  }
  if (Value* v = x.size() == 1 ? float_unary(op, x[0]) : float_binary(op, x[0], x[1])) {
    return v;
  }
  if (Value* v = type == ScalarType::Float && x.size() == 1 ? float_math(op, x[0]) : nullptr) {
    return v;
  }
  return function(op, type, x);
}

Value* Alu::compare(Op op, ScalarType type, Value* x, Value* y) {
  using P = llvm::CmpInst::Predicate;
  static constexpr struct {
    Op op;
    P real, with_sign, without_sign;
  } kPredicates[] = {
      {Op::kEq, P::FCMP_OEQ, P::ICMP_EQ, P::ICMP_EQ},   {Op::kNe, P::FCMP_UNE, P::ICMP_NE, P::ICMP_NE},
      {Op::kLt, P::FCMP_OLT, P::ICMP_SLT, P::ICMP_ULT}, {Op::kLe, P::FCMP_OLE, P::ICMP_SLE, P::ICMP_ULE},
      {Op::kGt, P::FCMP_OGT, P::ICMP_SGT, P::ICMP_UGT}, {Op::kGe, P::FCMP_OGE, P::ICMP_SGE, P::ICMP_UGE},
  };
  const auto& p = kPredicates[static_cast<size_t>(op) - static_cast<size_t>(Op::kEq)];
  if (is_float(type)) {
    return b.CreateFCmp(p.real, x, y);
  }
  const bool no_sign = type == ScalarType::Bool || type == ScalarType::Byte;
  return b.CreateICmp(no_sign ? p.without_sign : p.with_sign, x, y);
}

Value* Alu::bool_op(Op op, llvm::ArrayRef<Value*> x) {
  switch (op) {
    case Op::kBitNot:
      return b.CreateNot(x[0]);
    case Op::kAdd:
    case Op::kOr:
    case Op::kMax:
    case Op::kFmax:
      return b.CreateOr(x[0], x[1]);
    case Op::kMul:
    case Op::kAnd:
    case Op::kMin:
    case Op::kFmin:
      return b.CreateAnd(x[0], x[1]);
    case Op::kXor:
      return b.CreateXor(x[0], x[1]);
    default:
      TORCH_INTERNAL_ASSERT(false, traits(op).name, " on Bool");
  }
}

Value* Alu::cast(Value* x, ScalarType from, ScalarType to) {
  if (from == to) {
    return x;
  }
  Type* t = like(x, type_of(to));
  const bool from_unsigned = from == ScalarType::Bool || from == ScalarType::Byte;
  if (to == ScalarType::Bool) {
    Value* zero = llvm::Constant::getNullValue(x->getType());
    return is_float(from) ? b.CreateFCmpUNE(x, zero) : b.CreateICmpNE(x, zero);
  }
  if (is_float(from)) {
    if (is_float(to)) {
      return b.CreateFPCast(x, t);
    }
    // Narrow integers by way of the conversion that the hardware has, so that values out of range wrap as C's do there.
    Type* wide = like(x, to == ScalarType::Long ? b.getInt64Ty() : b.getInt32Ty());
    return b.CreateTrunc(b.CreateFreeze(b.CreateFPToSI(x, wide)), t);
  }
  if (is_float(to)) {
    return from_unsigned ? b.CreateUIToFP(x, t) : b.CreateSIToFP(x, t);
  }
  return b.CreateIntCast(x, t, /*isSigned=*/!from_unsigned);
}

Value* Alu::check_index(Value* index, int64_t size) {
  Type* t = index->getType();
  Value* wrapped = select(b.CreateICmpSLT(index, constant(t, int64_t{0})), b.CreateAdd(index, constant(t, size)), index);
  Value* bad = b.CreateICmpUGE(wrapped, constant(t, size));
  fault_(bad, Fault::kIndex);
  return select(bad, constant(t, int64_t{0}), wrapped);
}

}  // namespace torch_hpu::codegen
