// Integer arithmetic wraps and never traps: LLVM's undefined cases (division by zero, the most negative value by -1, shifts
// that are too large) are guarded here.
#include "csrc/codegen/alu.h"

#include <llvm/IR/Intrinsics.h>

namespace torch_hpu::codegen {

using c10::ScalarType;
using llvm::Intrinsic::ID;

Value* Alu::int_unary(Op op, Value* x, ScalarType type) {
  Type* t = x->getType();
  Value* zero = constant(t, int64_t{0});
  const bool is_unsigned = type == ScalarType::Byte;
  switch (op) {
    case Op::kNeg:
      return b.CreateNeg(x);
    case Op::kAbs:
      return is_unsigned ? x : b.CreateBinaryIntrinsic(llvm::Intrinsic::abs, x, b.getFalse());
    case Op::kSign: {
      Value* positive = b.CreateZExt(is_unsigned ? b.CreateICmpNE(x, zero) : b.CreateICmpSGT(x, zero), t);
      return is_unsigned ? positive : b.CreateOr(positive, b.CreateSExt(b.CreateICmpSLT(x, zero), t));
    }
    case Op::kBitNot:
      return b.CreateNot(x);
    default:
      TORCH_INTERNAL_ASSERT(false, traits(op).name, " on ", type);
  }
}

Value* Alu::int_binary(Op op, Value* x, Value* y, bool is_unsigned) {
  const auto pick = [&](ID with_sign, ID without_sign) { return b.CreateBinaryIntrinsic(is_unsigned ? without_sign : with_sign, x, y); };
  Type* t = x->getType();
  const int64_t bits = t->getScalarSizeInBits();
  switch (op) {
    case Op::kAdd:
      return b.CreateAdd(x, y);
    case Op::kSub:
      return b.CreateSub(x, y);
    case Op::kMul:
      return b.CreateMul(x, y);
    case Op::kDiv:
    case Op::kDivFloor:
    case Op::kFmod:
    case Op::kRemainder:
      return divide(op, x, y, is_unsigned);
    case Op::kMin:
    case Op::kFmin:
      return pick(llvm::Intrinsic::smin, llvm::Intrinsic::umin);
    case Op::kMax:
    case Op::kFmax:
      return pick(llvm::Intrinsic::smax, llvm::Intrinsic::umax);
    case Op::kAnd:
      return b.CreateAnd(x, y);
    case Op::kOr:
      return b.CreateOr(x, y);
    case Op::kXor:
      return b.CreateXor(x, y);
    case Op::kShl:
    case Op::kShr: {
      Value* fits = b.CreateICmpULT(y, constant(t, bits));  // unsigned: negative amounts do not
      if (op == Op::kShr && !is_unsigned) {
        return b.CreateAShr(x, select(fits, y, constant(t, bits - 1)));
      }
      Value* amount = select(fits, y, constant(t, int64_t{0}));
      Value* shifted = op == Op::kShl ? b.CreateShl(x, amount) : b.CreateLShr(x, amount);
      return select(fits, shifted, constant(t, int64_t{0}));
    }
    default:
      TORCH_INTERNAL_ASSERT(false, traits(op).name, " on an integer type");
  }
}

// x / y for y that is neither 0 nor -1. There is no vector instruction for it: floating point division is exact enough, since
// the quotient of two n-bit numbers is at least 2^-n away from the next integer, and much cheaper than lane by lane.
Value* Alu::quotient(Value* x, Value* y, bool is_unsigned) {
  const unsigned bits = x->getType()->getScalarSizeInBits();
  if (lanes_of(x) == 0 || bits == 64) {
    return is_unsigned ? b.CreateUDiv(x, y) : b.CreateSDiv(x, y);
  }
  Type* real = like(x, bits == 32 ? b.getDoubleTy() : b.getFloatTy());
  Value* xr = is_unsigned ? b.CreateUIToFP(x, real) : b.CreateSIToFP(x, real);
  Value* yr = is_unsigned ? b.CreateUIToFP(y, real) : b.CreateSIToFP(y, real);
  return b.CreateTrunc(b.CreateFPToSI(b.CreateFDiv(xr, yr), like(x, b.getInt32Ty())), x->getType());
}

Value* Alu::divide(Op op, Value* x, Value* y, bool is_unsigned) {
  Type* t = x->getType();
  Value* zero = constant(t, int64_t{0});
  Value* by_zero = b.CreateICmpEQ(y, zero);
  fault_(by_zero, Fault::kZeroDivision);
  Value* by_minus_one = is_unsigned ? llvm::ConstantInt::getFalse(by_zero->getType()) : b.CreateICmpEQ(y, constant(t, int64_t{-1}));
  Value* safe = select(b.CreateOr(by_zero, by_minus_one), constant(t, int64_t{1}), y);
  Value* q = quotient(x, safe, is_unsigned);
  Value* r = b.CreateSub(x, b.CreateMul(q, safe));  // 0 for the guarded lanes
  q = select(by_minus_one, b.CreateNeg(x), q);
  if (op == Op::kDiv) {
    return q;
  }
  if (op == Op::kFmod) {
    return r;
  }
  // A remainder whose sign is not the divisor's belongs to the next lower quotient.
  Value* lower = is_unsigned ? llvm::ConstantInt::getFalse(by_zero->getType())
                             : b.CreateAnd(b.CreateICmpNE(r, zero), b.CreateICmpSLT(b.CreateXor(r, y), zero));
  return op == Op::kDivFloor ? b.CreateSub(q, b.CreateZExt(lower, t)) : select(lower, b.CreateAdd(r, y), r);
}

}  // namespace torch_hpu::codegen
