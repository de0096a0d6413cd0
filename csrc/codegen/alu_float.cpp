// Floating point ops that are a few instructions, and calls for those that are not.
#include "csrc/codegen/alu.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>

#include <limits>

#include "csrc/codegen/functions.h"

namespace torch_hpu::codegen {

using c10::ScalarType;

Value* Alu::float_unary(Op op, Value* x) {
  Type* t = x->getType();
  Value* zero = constant(t, 0.0);
  Value* one = constant(t, 1.0);
  switch (op) {
    case Op::kNeg:
      return b.CreateFNeg(x);
    case Op::kAbs:
      return intrinsic(llvm::Intrinsic::fabs, x);
    case Op::kSign:  // 0 for NaN, as ATen
      return select(b.CreateFCmpOGT(x, zero), one, select(b.CreateFCmpOLT(x, zero), constant(t, -1.0), zero));
    case Op::kSqrt:
      return intrinsic(llvm::Intrinsic::sqrt, x);
    case Op::kRsqrt:
      return b.CreateFDiv(one, intrinsic(llvm::Intrinsic::sqrt, x));
    case Op::kReciprocal:
      return b.CreateFDiv(one, x);
    case Op::kFloor:
      return intrinsic(llvm::Intrinsic::floor, x);
    case Op::kCeil:
      return intrinsic(llvm::Intrinsic::ceil, x);
    case Op::kTrunc:
      return intrinsic(llvm::Intrinsic::trunc, x);
    case Op::kRound:
      return intrinsic(llvm::Intrinsic::roundeven, x);
    case Op::kIsNan:
      return b.CreateFCmpUNO(x, x);
    case Op::kIsInf:
      return b.CreateFCmpOEQ(intrinsic(llvm::Intrinsic::fabs, x), constant(t, std::numeric_limits<double>::infinity()));
    case Op::kSigmoid:
      return b.CreateFDiv(one, b.CreateFAdd(one, apply(Op::kExp, t->getScalarType()->isFloatTy() ? ScalarType::Float : ScalarType::Double,
                                                       b.CreateFNeg(x))));
    default:
      return nullptr;
  }
}

Value* Alu::float_binary(Op op, Value* x, Value* y) {
  Type* t = x->getType();
  Value* zero = constant(t, 0.0);
  const ScalarType type = t->getScalarType()->isFloatTy() ? ScalarType::Float : ScalarType::Double;
  switch (op) {
    case Op::kAdd:
      return b.CreateFAdd(x, y);
    case Op::kSub:
      return b.CreateFSub(x, y);
    case Op::kMul:
      return b.CreateFMul(x, y);
    case Op::kDiv:
      return b.CreateFDiv(x, y);
    case Op::kCopySign:
      return b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, x, y);
    // The instruction yields x when the operands are equal (zeros of either sign) or one is NaN; what is left to repair is one comparison.
    case Op::kMin:
      return select(b.CreateFCmpUNO(y, y), y, select(b.CreateFCmpOLT(y, x), y, x));
    case Op::kMax:
      return select(b.CreateFCmpUNO(y, y), y, select(b.CreateFCmpOGT(y, x), y, x));
    case Op::kFmin:
      return select(b.CreateFCmpUNO(x, x), y, select(b.CreateFCmpOLT(y, x), y, x));
    case Op::kFmax:
      return select(b.CreateFCmpUNO(x, x), y, select(b.CreateFCmpOGT(y, x), y, x));
    case Op::kRemainder: {
      Value* r = function(Op::kFmod, type, {x, y});
      Value* other_sign = b.CreateXor(b.CreateFCmpOLT(y, zero), b.CreateFCmpOLT(r, zero));
      return select(b.CreateAnd(b.CreateFCmpUNE(r, zero), other_sign), b.CreateFAdd(r, y), r);
    }
    case Op::kDivFloor: {
      // As Python and ATen: from the remainder, so that the quotient is exact where x / y rounds up to an integer.
      Value* r = function(Op::kFmod, type, {x, y});
      Value* plain = b.CreateFDiv(x, y);
      Value* q = b.CreateFDiv(b.CreateFSub(x, r), y);
      Value* other_sign = b.CreateXor(b.CreateFCmpOLT(y, zero), b.CreateFCmpOLT(r, zero));
      q = select(b.CreateAnd(b.CreateFCmpUNE(r, zero), other_sign), b.CreateFSub(q, constant(t, 1.0)), q);
      Value* floor = intrinsic(llvm::Intrinsic::floor, q);
      Value* up = b.CreateFCmpOGT(b.CreateFSub(q, floor), constant(t, 0.5));
      floor = select(up, b.CreateFAdd(floor, constant(t, 1.0)), floor);
      Value* signed_zero = b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, zero, plain);
      floor = select(b.CreateFCmpUNE(q, zero), floor, signed_zero);
      return select(b.CreateFCmpOEQ(y, zero), plain, floor);
    }
    default:
      return nullptr;
  }
}

Value* Alu::function(Op op, ScalarType type, llvm::ArrayRef<Value*> x) {
  if (is_float(type) && lanes_of(x[0]) > 0) {
    const VectorFunction f = vector_function(op, type == ScalarType::Double);
    if (f.lanes > 0) {
      return widen_range(op, type, x[0], call_vector(f.name, f.lanes, x));
    }
  }
  return call_array(array_function(op, type), x);
}

// SLEEF's hyperbolic functions overflow on the way to a finite result, and some functions lose denormals; `y` is what it says.
Value* Alu::widen_range(Op op, ScalarType type, Value* x, Value* y) {
  Type* t = x->getType();
  Value* magnitude = intrinsic(llvm::Intrinsic::fabs, x);
  if (op == Op::kLog1p || op == Op::kTan || op == Op::kAsinh) {
    y = select(b.CreateFCmpOLT(magnitude, constant(t, 1e-30)), x, y);
  }
  switch (op) {
    case Op::kAsinh:
    case Op::kAcosh: {
      Value* large = b.CreateFAdd(apply(Op::kLog, type, {magnitude}), constant(t, 0.693147180559945309));
      if (op == Op::kAsinh) {
        large = b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, large, x);
      }
      return select(b.CreateFCmpOGT(op == Op::kAsinh ? magnitude : x, constant(t, 1e15)), large, y);
    }
    case Op::kSinh:
    case Op::kCosh: {
      Value* root = apply(Op::kExp, type, {b.CreateFMul(magnitude, constant(t, 0.5))});
      Value* large = b.CreateFMul(b.CreateFMul(root, constant(t, 0.5)), root);
      if (op == Op::kSinh) {
        large = b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, large, x);
      }
      return select(b.CreateFCmpOGT(magnitude, constant(t, type == ScalarType::Float ? 88.0 : 709.0)), large, y);
    }
    default:
      return y;
  }
}

// Calls f on pieces of its own width. The last piece is padded with zeros.
Value* Alu::call_vector(const std::string& name, int lanes, llvm::ArrayRef<Value*> x) {
  const int n = lanes_of(x[0]);
  Type* piece = with_lanes(x[0]->getType()->getScalarType(), lanes);
  llvm::SmallVector<Type*, 2> types(x.size(), piece);
  llvm::Module* module = b.GetInsertBlock()->getModule();
  llvm::FunctionCallee f = module->getOrInsertFunction(name, llvm::FunctionType::get(piece, types, false));
  const auto call = [&](int begin) -> Value* {
    llvm::SmallVector<int, 16> mask;
    for (int i = 0; i < lanes; ++i) {
      mask.push_back(begin + i < n ? begin + i : n);  // n: the first lane of the zero vector
    }
    llvm::SmallVector<Value*, 2> args;
    for (Value* v : x) {
      args.push_back(n == lanes ? v : b.CreateShuffleVector(v, llvm::Constant::getNullValue(v->getType()), mask));
    }
    llvm::CallInst* result = b.CreateCall(f, args);
    result->setDoesNotThrow();
    return result;
  };
  if (n == lanes) {
    return call(0);
  }
  Value* joined = nullptr;
  for (int begin = 0; begin < n; begin += lanes) {
    Value* part = call(begin);
    const int have = begin;
    // Pieces are joined two at a time by shuffles over the width of the result.
    llvm::SmallVector<int, 16> widen;
    for (int i = 0; i < n; ++i) {
      widen.push_back(i >= have && i < have + lanes ? i - have : -1);
    }
    Value* placed = b.CreateShuffleVector(part, widen);
    if (!joined) {
      joined = placed;
      continue;
    }
    llvm::SmallVector<int, 16> merge;
    for (int i = 0; i < n; ++i) {
      merge.push_back(i >= have && i < have + lanes ? n + i : i);
    }
    joined = b.CreateShuffleVector(joined, placed, merge);
  }
  return joined;
}

Value* Alu::call_array(const std::string& name, llvm::ArrayRef<Value*> x) {
  llvm::Module* module = b.GetInsertBlock()->getModule();
  llvm::SmallVector<Type*, 3> types(x.size(), b.getPtrTy());
  llvm::SmallVector<Value*, 3> args;
  for (Value* v : x) {
    llvm::AllocaInst* memory = local(v->getType());
    b.CreateAlignedStore(v, memory, llvm::Align(64));
    args.push_back(memory);
  }
  types.push_back(b.getInt64Ty());
  args.push_back(b.getInt64(std::max(1, lanes_of(x[0]))));
  llvm::FunctionCallee f = module->getOrInsertFunction(name, llvm::FunctionType::get(b.getVoidTy(), types, false));
  b.CreateCall(f, args)->setDoesNotThrow();
  return b.CreateAlignedLoad(x[0]->getType(), args[0], llvm::Align(64));
}

}  // namespace torch_hpu::codegen
