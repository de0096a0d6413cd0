// Single precision functions as straight-line vector code, for the ops that models spend their time in.
//
// Note [Float math]
// Each is the classic scheme: reduce the argument to a small interval with a product split into a short high part and a low
// part, evaluate a polynomial there, undo the reduction. The polynomials are minimax fits (weighted by the error that matters
// for the result, coefficients rounded to float); the first column below gives what the fit itself contributes, so that
// rounding dominates: all functions stay below 1.6 units of the last place over the whole range, denormals and infinities
// included (tanh: 2.5). NaN goes through because every clamp is written as "beyond the bound ? bound : x".
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>

#include <cmath>
#include <limits>

#include "csrc/codegen/alu.h"
#include "csrc/codegen/functions.h"
#include "csrc/codegen/host.h"

namespace torch_hpu::codegen {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kLn2High = 0x1.63p-1, kLn2Low = -0x1.bd0105c610ca8p-13;  // 9 bits, and the rest
constexpr double kLog2e = 0x1.71547652b82fep0;

// 2^-28: (exp(r) - 1 - r) / r^2 on +-ln(2)/2
constexpr double kExp[] = {0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.1239e2p-7, 0x1.6a2432p-10};
// 2^-27: (log(1 + f) - f + f^2 / 2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1]
constexpr double kLog[] = {0x1.555554p-2, -0x1.000226p-2, 0x1.99a008p-3, -0x1.547244p-3,
                           0x1.22da1cp-3, -0x1.0d8542p-3, 0x1.055b6ap-3, -0x1.38b58p-4};
// 2^-29: erf(x) / x - 1 in x^2, |x| < 1
constexpr double kErfSmall[] = {0x1.06eba8p-3, -0x1.81273ep-2,  0x1.ce2cf8p-4, -0x1.b7f90cp-6,
                                0x1.5405bp-8,  -0x1.a3f6f8p-11, 0x1.496a1ep-14};
// 2^-29: -log(erfc(x)) on [1, 4]
constexpr double kErfLarge[] = {0x1.661a16p-12, 0x1.2088ecp0, 0x1.46bae8p-1, 0x1.a65356p-4, -0x1.65cb9ep-6, 0x1.825b48p-9, -0x1.86de0cp-13};
// 2^-28: (sin(r) / r - 1) / r^2 in r^2; 2^-33: (cos(r) - 1 + r^2 / 2) / r^4 in r^2; |r| < pi/4
constexpr double kSin[] = {-0x1.555546p-3, 0x1.110736p-7, -0x1.99422p-13};
constexpr double kCos[] = {0x1.55554ap-5, -0x1.6c0c2ep-10, 0x1.99ea04p-16};
// pi/2 in three floats; products with |k| < 2^15 are exact to 2^-60 under fma
constexpr double kHalfPi[] = {0x1.921fb6p0, -0x1.777a5cp-25, -0x1.ee59dap-50};
constexpr double kTrigBound = 32768;

}  // namespace

Value* Alu::float_math(Op op, Value* x) {
  switch (op) {
    case Op::kExp:
      return exp_float(x);
    case Op::kExp2:
      return exp2_float(x);
    case Op::kExpm1:
      return expm1_float(x);
    case Op::kLog:
      return log_float(x);
    case Op::kLog1p:
      return log1p_float(x);
    case Op::kTanh:
      return tanh_float(x);
    case Op::kErf:
      return erf_float(x);
    case Op::kSin:
    case Op::kCos:
      return host().fma ? sincos_float(op, x) : nullptr;
    default:
      return nullptr;
  }
}

Value* Alu::polynomial(Value* x, llvm::ArrayRef<double> coefs) {
  Value* sum = constant(x->getType(), coefs.back());
  for (size_t i = coefs.size() - 1; i-- > 0;) {
    sum = fma(sum, x, constant(x->getType(), coefs[i]));
  }
  return sum;
}

Value* Alu::at_most(Value* x, double bound) {
  Value* limit = constant(x->getType(), bound);
  return select(b.CreateFCmpOGT(x, limit), limit, x);
}

Value* Alu::at_least(Value* x, double bound) {
  Value* limit = constant(x->getType(), bound);
  return select(b.CreateFCmpOLT(x, limit), limit, x);
}

Value* Alu::to_int(Value* x) {  // x is an integer of small magnitude, or NaN, for which anything will do
  return b.CreateFreeze(b.CreateFPToSI(x, like(x, b.getInt32Ty())));
}

// 2^n for n in [-126, 127]
Value* Alu::power_of_two(Value* n) {
  Type* word = n->getType();
  return b.CreateBitCast(b.CreateShl(b.CreateAdd(n, constant(word, int64_t{127})), 23), like(n, b.getFloatTy()));
}

// x * 2^n for integral n, |n| < 300: through denormals to zero and up to infinity.
Value* Alu::scale_by_power(Value* x, Value* n) {
  if (host().avx512 && lanes_of(x) == 16) {
    return b.CreateIntrinsic(llvm::Intrinsic::x86_avx512_mask_scalef_ps_512, {}, {x, n, x, b.getInt16(0xFFFF), b.getInt32(4)});
  }
  Value* i = to_int(n);
  Value* half = b.CreateAShr(i, 1);
  return b.CreateFMul(b.CreateFMul(x, power_of_two(half)), power_of_two(b.CreateSub(i, half)));
}

// x = n ln2 + r, |r| <= ln2 / 2; returns n and exp(r) - 1.
std::pair<Value*, Value*> Alu::reduce_exp(Value* x) {
  Type* t = x->getType();
  Value* n = intrinsic(llvm::Intrinsic::roundeven, b.CreateFMul(x, constant(t, kLog2e)));
  Value* r = fma(n, constant(t, -kLn2Low), fma(n, constant(t, -kLn2High), x));
  return {n, fma(polynomial(r, kExp), b.CreateFMul(r, r), r)};
}

Value* Alu::exp_float(Value* x) {
  const auto [n, p] = reduce_exp(at_most(at_least(x, -104.5), 89));
  return scale_by_power(b.CreateFAdd(p, constant(x->getType(), 1.0)), n);
}

Value* Alu::exp2_float(Value* x) {
  Type* t = x->getType();
  x = at_most(at_least(x, -151), 129);
  Value* n = intrinsic(llvm::Intrinsic::roundeven, x);
  Value* r = b.CreateFMul(b.CreateFSub(x, n), constant(t, 0x1.62e42fefa39efp-1));
  Value* p = fma(polynomial(r, kExp), b.CreateFMul(r, r), r);
  return scale_by_power(b.CreateFAdd(p, constant(t, 1.0)), n);
}

// 2^n (exp(r) - 1) + (2^n - 1), at half size so that n = 128 does not overflow early.
Value* Alu::expm1_float(Value* x) {
  Type* t = x->getType();
  const auto [n, p] = reduce_exp(at_most(at_least(x, -20), 89));
  Value* s = power_of_two(b.CreateSub(to_int(n), constant(like(x, b.getInt32Ty()), int64_t{1})));
  Value* half = fma(s, p, b.CreateFSub(s, constant(t, 0.5)));
  Value* tiny = b.CreateFCmpOLT(intrinsic(llvm::Intrinsic::fabs, x), constant(t, 0x1p-25));
  return select(tiny, x, b.CreateFAdd(half, half));  // -0 and denormals stay what they are
}

// With t = exp(2|x|) - 1: tanh |x| = t / (t + 2). From |x| = 10 on that is 1 in float.
Value* Alu::tanh_float(Value* x) {
  Type* type = x->getType();
  Value* magnitude = intrinsic(llvm::Intrinsic::fabs, x);
  const auto [n, p] = reduce_exp(at_most(b.CreateFAdd(magnitude, magnitude), 20));
  Value* s = power_of_two(to_int(n));
  Value* t = fma(s, p, b.CreateFSub(s, constant(type, 1.0)));
  return b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, b.CreateFDiv(t, b.CreateFAdd(t, constant(type, 2.0))), x);
}

// x > 0 normal = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)): e as an integer, f.
std::pair<Value*, Value*> Alu::split_exponent(Value* x) {
  Type* word = like(x, b.getInt32Ty());
  Value* bits = b.CreateSub(b.CreateBitCast(x, word), constant(word, int64_t{0x3F3504F3}));
  Value* mantissa = b.CreateAdd(b.CreateAnd(bits, constant(word, int64_t{0x7FFFFF})), constant(word, int64_t{0x3F3504F3}));
  return {b.CreateAShr(bits, 23), b.CreateFSub(b.CreateBitCast(mantissa, x->getType()), constant(x->getType(), 1.0))};
}

// e ln2 + log(1 + f), and what log yields outside of (0, inf).
Value* Alu::assemble_log(Value* x, Value* e, Value* f) {
  Type* t = x->getType();
  Value* square = b.CreateFMul(f, f);
  Value* tail = fma(b.CreateFMul(polynomial(f, kLog), f), square, b.CreateFMul(e, constant(t, kLn2Low)));
  Value* y = b.CreateFAdd(fma(square, constant(t, -0.5), tail), f);
  y = fma(e, constant(t, kLn2High), y);
  Value* zero = constant(t, 0.0);
  Value* outside = select(b.CreateFCmpOLT(x, zero), constant(t, std::numeric_limits<double>::quiet_NaN()), x);  // inf, NaN
  outside = select(b.CreateFCmpOEQ(x, zero), constant(t, -kInf), outside);
  Value* inside = b.CreateAnd(b.CreateFCmpOGT(x, zero), b.CreateFCmpOLT(x, constant(t, kInf)));
  return select(inside, y, outside);
}

Value* Alu::log_float(Value* x) {
  Type* t = x->getType();
  Value* denormal = b.CreateFCmpOLT(x, constant(t, 0x1p-126));
  const auto [e, f] = split_exponent(select(denormal, b.CreateFMul(x, constant(t, 0x1p23)), x));
  Value* exponent = b.CreateSIToFP(e, t);
  return assemble_log(x, select(denormal, b.CreateFSub(exponent, constant(t, 23.0)), exponent), f);
}

// 1 + x = 2^e (1 + f) where f comes from x itself: f = x 2^-e + (2^-e - 1), rounded once.
Value* Alu::log1p_float(Value* x) {
  Type* t = x->getType();
  Value* u = b.CreateFAdd(x, constant(t, 1.0));
  const auto [e, rough] = split_exponent(u);
  Value* s = power_of_two(b.CreateNeg(e));
  Value* f = fma(x, s, b.CreateFSub(s, constant(t, 1.0)));
  f = select(b.CreateFCmpOGT(x, constant(t, 0x1p24)), rough, f);  // there u is x, and 2^-e soon a denormal
  Value* y = assemble_log(u, b.CreateSIToFP(e, t), f);
  return select(b.CreateFCmpOEQ(x, constant(t, 0.0)), x, y);  // -0 stays -0
}

Value* Alu::erf_float(Value* x) {
  Type* t = x->getType();
  Value* one = constant(t, 1.0);
  Value* magnitude = intrinsic(llvm::Intrinsic::fabs, x);
  Value* small = fma(x, polynomial(b.CreateFMul(x, x), kErfSmall), x);
  Value* minus_log = b.CreateFNeg(polynomial(at_most(magnitude, 4), kErfLarge));
  const auto [n, p] = reduce_exp(minus_log);
  Value* large = b.CreateFSub(one, b.CreateFMul(b.CreateFAdd(p, one), power_of_two(to_int(n))));
  large = b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, large, x);
  return select(b.CreateFCmpOLT(magnitude, one), small, large);
}

// x = k pi/2 + r. When a lane is too large for that, all lanes take the library's function.
Value* Alu::sincos_float(Op op, Value* x) {
  Type* t = x->getType();
  Type* word = like(x, b.getInt32Ty());
  Value* magnitude = intrinsic(llvm::Intrinsic::fabs, x);
  Value* large = b.CreateNot(b.CreateFCmpOLE(magnitude, constant(t, kTrigBound)));
  Value* any = lanes_of(large) > 0 ? b.CreateOrReduce(large) : large;

  Value* k = intrinsic(llvm::Intrinsic::roundeven, b.CreateFMul(x, constant(t, 2 / M_PI)));
  Value* r = x;
  for (double part : kHalfPi) {
    r = fma(k, constant(t, -part), r);
  }
  Value* square = b.CreateFMul(r, r);
  Value* sine = fma(b.CreateFMul(polynomial(square, kSin), square), r, r);
  Value* cosine = fma(b.CreateFMul(polynomial(square, kCos), square), square, fma(square, constant(t, -0.5), constant(t, 1.0)));
  Value* quadrant = to_int(k);
  if (op == Op::kCos) {
    quadrant = b.CreateAdd(quadrant, constant(word, int64_t{1}));
  }
  Value* odd = b.CreateICmpNE(b.CreateAnd(quadrant, constant(word, int64_t{1})), constant(word, int64_t{0}));
  Value* sign = b.CreateShl(b.CreateAnd(quadrant, constant(word, int64_t{2})), 30);
  Value* near = select(odd, cosine, sine);
  near = b.CreateBitCast(b.CreateXor(b.CreateBitCast(near, word), sign), t);
  if (op == Op::kSin) {  // the parts of the product above have different signs: -0 gets lost
    near = select(b.CreateFCmpOEQ(x, constant(t, 0.0)), x, near);
  }

  llvm::Function* function_now = b.GetInsertBlock()->getParent();
  auto* fast = b.GetInsertBlock();
  auto* slow = llvm::BasicBlock::Create(b.getContext(), "far", function_now);
  auto* join = llvm::BasicBlock::Create(b.getContext(), "joined", function_now);
  b.CreateCondBr(any, slow, join);
  b.SetInsertPoint(slow);
  Value* far = function(op, c10::ScalarType::Float, {x});
  auto* slow_end = b.GetInsertBlock();
  b.CreateBr(join);
  b.SetInsertPoint(join);
  llvm::PHINode* result = b.CreatePHI(t, 2);
  result->addIncoming(near, fast);
  result->addIncoming(far, slow_end);
  return result;
}

}  // namespace torch_hpu::codegen
