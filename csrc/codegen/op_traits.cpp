#include "csrc/codegen/op_traits.h"

#include <c10/util/Exception.h>

namespace torch_hpu::codegen {

// In the order of enum Op; the first column makes sure of it.
static constexpr struct {
  Op op;
  OpTraits traits;
} kTable[] = {
    {Op::kConst, {"const", OpClass::kLeaf, 0, kAcceptsAll, 0}},
    {Op::kScalar, {"scalar", OpClass::kLeaf, 0, kAcceptsAll, 0}},
    {Op::kIndex, {"index", OpClass::kLeaf, 0, kAcceptsInt, 1}},
    {Op::kLoad, {"load", OpClass::kLeaf, 0, kAcceptsAll, 1}},
    {Op::kLoadAt, {"load_at", OpClass::kLeaf, 1, kAcceptsAll, 12}},
    {Op::kCheckIndex, {"check_index", OpClass::kUnary, 1, kAcceptsInt, 3}},
    {Op::kUniform, {"uniform", OpClass::kLeaf, 1, kAcceptsFloat, 60}},
    {Op::kRandomBits, {"random_bits", OpClass::kLeaf, 1, kAcceptsInt, 60}},
    {Op::kCast, {"cast", OpClass::kConvert, 1, kAcceptsAll, 1}},
    {Op::kNeg, {"neg", OpClass::kUnary, 1, kAcceptsNumber, 1}},
    {Op::kAbs, {"abs", OpClass::kUnary, 1, kAcceptsNumber, 1}},
    {Op::kSign, {"sign", OpClass::kUnary, 1, kAcceptsNumber, 3}},
    {Op::kBitNot, {"bit_not", OpClass::kUnary, 1, kAcceptsInt | kAcceptsBool, 1}},
    {Op::kExp, {"exp", OpClass::kUnary, 1, kAcceptsFloat, 14}},
    {Op::kExp2, {"exp2", OpClass::kUnary, 1, kAcceptsFloat, 25}},
    {Op::kExpm1, {"expm1", OpClass::kUnary, 1, kAcceptsFloat, 30}},
    {Op::kLog, {"log", OpClass::kUnary, 1, kAcceptsFloat, 20}},
    {Op::kLog2, {"log2", OpClass::kUnary, 1, kAcceptsFloat, 30}},
    {Op::kLog10, {"log10", OpClass::kUnary, 1, kAcceptsFloat, 30}},
    {Op::kLog1p, {"log1p", OpClass::kUnary, 1, kAcceptsFloat, 30}},
    {Op::kSqrt, {"sqrt", OpClass::kUnary, 1, kAcceptsFloat, 8}},
    {Op::kRsqrt, {"rsqrt", OpClass::kUnary, 1, kAcceptsFloat, 16}},
    {Op::kReciprocal, {"reciprocal", OpClass::kUnary, 1, kAcceptsFloat, 8}},
    {Op::kSin, {"sin", OpClass::kUnary, 1, kAcceptsFloat, 25}},
    {Op::kCos, {"cos", OpClass::kUnary, 1, kAcceptsFloat, 25}},
    {Op::kTan, {"tan", OpClass::kUnary, 1, kAcceptsFloat, 50}},
    {Op::kAsin, {"asin", OpClass::kUnary, 1, kAcceptsFloat, 40}},
    {Op::kAcos, {"acos", OpClass::kUnary, 1, kAcceptsFloat, 40}},
    {Op::kAtan, {"atan", OpClass::kUnary, 1, kAcceptsFloat, 40}},
    {Op::kSinh, {"sinh", OpClass::kUnary, 1, kAcceptsFloat, 50}},
    {Op::kCosh, {"cosh", OpClass::kUnary, 1, kAcceptsFloat, 50}},
    {Op::kTanh, {"tanh", OpClass::kUnary, 1, kAcceptsFloat, 25}},
    {Op::kAsinh, {"asinh", OpClass::kUnary, 1, kAcceptsFloat, 60}},
    {Op::kAcosh, {"acosh", OpClass::kUnary, 1, kAcceptsFloat, 60}},
    {Op::kAtanh, {"atanh", OpClass::kUnary, 1, kAcceptsFloat, 60}},
    {Op::kErf, {"erf", OpClass::kUnary, 1, kAcceptsFloat, 35}},
    {Op::kErfc, {"erfc", OpClass::kUnary, 1, kAcceptsFloat, 60}},
    {Op::kErfinv, {"erfinv", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kLgamma, {"lgamma", OpClass::kUnary, 1, kAcceptsFloat, 100}},
    {Op::kDigamma, {"digamma", OpClass::kUnary, 1, kAcceptsFloat, 250}},
    {Op::kErfcx, {"erfcx", OpClass::kUnary, 1, kAcceptsFloat, 120}},
    {Op::kNdtri, {"ndtri", OpClass::kUnary, 1, kAcceptsFloat, 150}},
    {Op::kTrigamma, {"trigamma", OpClass::kUnary, 1, kAcceptsFloat, 150}},
    {Op::kI0, {"i0", OpClass::kUnary, 1, kAcceptsFloat, 150}},
    {Op::kI0e, {"i0e", OpClass::kUnary, 1, kAcceptsFloat, 150}},
    {Op::kI1, {"i1", OpClass::kUnary, 1, kAcceptsFloat, 150}},
    {Op::kI1e, {"i1e", OpClass::kUnary, 1, kAcceptsFloat, 150}},
    {Op::kAiryAi, {"airy_ai", OpClass::kUnary, 1, kAcceptsFloat, 255}},
    {Op::kBesselJ0, {"bessel_j0", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kBesselJ1, {"bessel_j1", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kBesselY0, {"bessel_y0", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kBesselY1, {"bessel_y1", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kModifiedBesselI0, {"modified_bessel_i0", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kModifiedBesselI1, {"modified_bessel_i1", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kModifiedBesselK0, {"modified_bessel_k0", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kModifiedBesselK1, {"modified_bessel_k1", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kScaledModifiedBesselK0, {"scaled_modified_bessel_k0", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kScaledModifiedBesselK1, {"scaled_modified_bessel_k1", OpClass::kUnary, 1, kAcceptsFloat, 200}},
    {Op::kSphericalBesselJ0, {"spherical_bessel_j0", OpClass::kUnary, 1, kAcceptsFloat, 100}},
    {Op::kFrexpMantissa, {"frexp_mantissa", OpClass::kUnary, 1, kAcceptsFloat, 40}},
    {Op::kFrexpExponent, {"frexp_exponent", OpClass::kUnary, 1, kAcceptsFloat, 40}},
    {Op::kSigmoid, {"sigmoid", OpClass::kUnary, 1, kAcceptsFloat, 20}},
    {Op::kFloor, {"floor", OpClass::kUnary, 1, kAcceptsFloat, 1}},
    {Op::kCeil, {"ceil", OpClass::kUnary, 1, kAcceptsFloat, 1}},
    {Op::kTrunc, {"trunc", OpClass::kUnary, 1, kAcceptsFloat, 1}},
    {Op::kRound, {"round", OpClass::kUnary, 1, kAcceptsFloat, 1}},
    {Op::kIsNan, {"isnan", OpClass::kPredicate, 1, kAcceptsFloat, 1}},
    {Op::kIsInf, {"isinf", OpClass::kPredicate, 1, kAcceptsFloat, 2}},
    {Op::kAdd, {"add", OpClass::kBinary, 2, kAcceptsAll, 1}},
    {Op::kSub, {"sub", OpClass::kBinary, 2, kAcceptsNumber, 1}},
    {Op::kMul, {"mul", OpClass::kBinary, 2, kAcceptsAll, 1}},
    {Op::kDiv, {"div", OpClass::kBinary, 2, kAcceptsNumber, 8}},
    {Op::kDivFloor, {"div_floor", OpClass::kBinary, 2, kAcceptsNumber, 60}},
    {Op::kFmod, {"fmod", OpClass::kBinary, 2, kAcceptsNumber, 60}},
    {Op::kRemainder, {"remainder", OpClass::kBinary, 2, kAcceptsNumber, 60}},
    {Op::kPow, {"pow", OpClass::kBinary, 2, kAcceptsNumber, 100}},
    {Op::kAtan2, {"atan2", OpClass::kBinary, 2, kAcceptsFloat, 60}},
    {Op::kHypot, {"hypot", OpClass::kBinary, 2, kAcceptsFloat, 40}},
    {Op::kNextAfter, {"nextafter", OpClass::kBinary, 2, kAcceptsFloat, 20}},
    {Op::kCopySign, {"copysign", OpClass::kBinary, 2, kAcceptsFloat, 1}},
    {Op::kGcd, {"gcd", OpClass::kBinary, 2, kAcceptsInt, 200}},
    {Op::kZeta, {"zeta", OpClass::kBinary, 2, kAcceptsFloat, 255}},
    {Op::kIgamma, {"igamma", OpClass::kBinary, 2, kAcceptsFloat, 255}},
    {Op::kIgammac, {"igammac", OpClass::kBinary, 2, kAcceptsFloat, 255}},
    {Op::kChebyshevT, {"chebyshev_t", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kChebyshevU, {"chebyshev_u", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kChebyshevV, {"chebyshev_v", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kChebyshevW, {"chebyshev_w", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kShiftedChebyshevT, {"shifted_chebyshev_t", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kShiftedChebyshevU, {"shifted_chebyshev_u", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kShiftedChebyshevV, {"shifted_chebyshev_v", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kShiftedChebyshevW, {"shifted_chebyshev_w", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kHermiteH, {"hermite_h", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kHermiteHe, {"hermite_he", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kLaguerreL, {"laguerre_l", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kLegendreP, {"legendre_p", OpClass::kBinary, 2, kAcceptsFloat, 200}},
    {Op::kMin, {"min", OpClass::kBinary, 2, kAcceptsAll, 2}},
    {Op::kMax, {"max", OpClass::kBinary, 2, kAcceptsAll, 2}},
    {Op::kFmin, {"fmin", OpClass::kBinary, 2, kAcceptsAll, 2}},
    {Op::kFmax, {"fmax", OpClass::kBinary, 2, kAcceptsAll, 2}},
    {Op::kAnd, {"and", OpClass::kBinary, 2, kAcceptsInt | kAcceptsBool, 1}},
    {Op::kOr, {"or", OpClass::kBinary, 2, kAcceptsInt | kAcceptsBool, 1}},
    {Op::kXor, {"xor", OpClass::kBinary, 2, kAcceptsInt | kAcceptsBool, 1}},
    {Op::kShl, {"shl", OpClass::kBinary, 2, kAcceptsInt, 2}},
    {Op::kShr, {"shr", OpClass::kBinary, 2, kAcceptsInt, 2}},
    {Op::kEq, {"eq", OpClass::kCompare, 2, kAcceptsAll, 1}},
    {Op::kNe, {"ne", OpClass::kCompare, 2, kAcceptsAll, 1}},
    {Op::kLt, {"lt", OpClass::kCompare, 2, kAcceptsAll, 1}},
    {Op::kLe, {"le", OpClass::kCompare, 2, kAcceptsAll, 1}},
    {Op::kGt, {"gt", OpClass::kCompare, 2, kAcceptsAll, 1}},
    {Op::kGe, {"ge", OpClass::kCompare, 2, kAcceptsAll, 1}},
    {Op::kSelect, {"select", OpClass::kTernary, 3, kAcceptsAll, 1}},
    {Op::kFma, {"fma", OpClass::kTernary, 3, kAcceptsNumber, 1}},
    {Op::kReduceSum, {"reduce_sum", OpClass::kReduce, 1, kAcceptsAll, 1}},
    {Op::kReduceProd, {"reduce_prod", OpClass::kReduce, 1, kAcceptsAll, 1}},
    {Op::kReduceMin, {"reduce_min", OpClass::kReduce, 1, kAcceptsAll, 2}},
    {Op::kReduceMax, {"reduce_max", OpClass::kReduce, 1, kAcceptsAll, 2}},
    {Op::kReduceArgMin, {"reduce_argmin", OpClass::kReduce, 1, kAcceptsAll, 6}},
    {Op::kReduceArgMax, {"reduce_argmax", OpClass::kReduce, 1, kAcceptsAll, 6}},
};

static constexpr size_t kOps = static_cast<size_t>(Op::kReduceArgMax) + 1;
static_assert(std::size(kTable) == kOps);
static_assert([] {
  for (size_t i = 0; i < kOps; ++i) {
    if (static_cast<size_t>(kTable[i].op) != i) {
      return false;
    }
  }
  return true;
}());

const OpTraits& traits(Op op) {
  TORCH_INTERNAL_ASSERT(static_cast<size_t>(op) < kOps, "not an op of the loop IR: ", static_cast<int>(op));
  return kTable[static_cast<size_t>(op)].traits;
}

bool is_expr_dtype(c10::ScalarType t) {
  switch (t) {
    case c10::ScalarType::Bool:
    case c10::ScalarType::Byte:
    case c10::ScalarType::Char:
    case c10::ScalarType::Short:
    case c10::ScalarType::Int:
    case c10::ScalarType::Long:
    case c10::ScalarType::Float:
    case c10::ScalarType::Double:
      return true;
    default:
      return false;
  }
}

c10::ScalarType compute_dtype(c10::ScalarType memory) {
  return memory == c10::ScalarType::Half || memory == c10::ScalarType::BFloat16 ? c10::ScalarType::Float : memory;
}

}  // namespace torch_hpu::codegen
