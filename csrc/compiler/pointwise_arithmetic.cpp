// Arithmetic, comparison, logic, bits, rounding.
#include <cmath>

#include "csrc/compiler/pointwise.h"

namespace torch_hpu::compiler::pointwise {
namespace {

E clamp(const Args& a) {
  E x = a[0];
  if (a[1]) {
    x = maximum(x, a[1]);
  }
  if (a[2]) {
    x = minimum(x, a[2]);
  }
  return x;
}

E power(const Args& a) {
  const codegen::Expr& exponent = a.builder.expr(a[1]);
  if (exponent.op == Op::kConst && c10::isFloatingType(exponent.dtype)) {
    const double p = exponent.imm_d;
    if (p == 2) {
      return a[0] * a[0];
    }
    if (p == 3) {
      return a[0] * a[0] * a[0];
    }
    if (p == 0.5) {
      return sqrt(a[0]);
    }
    if (p == -0.5) {
      return rsqrt(a[0]);
    }
    if (p == -1) {
      return unary(Op::kReciprocal, a[0]);
    }
    if (p == -2) {
      return unary(Op::kReciprocal, a[0] * a[0]);
    }
  }
  if (exponent.op == Op::kConst && exponent.imm_i == 2 && !c10::isFloatingType(exponent.dtype)) {
    return a[0] * a[0];
  }
  return pow(a[0], a[1]);
}
// Rounding does nothing to integers.
template <Op op>
E rounding_row(const Args& a) {
  return c10::isFloatingType(a.dtype) ? unary(op, a[0]) : a[0];
}

E lerp(const Args& a) {
  const E w = a[2], difference = a[1] - a[0];
  return where(abs(w) < 0.5, a[0] + w * difference, a[1] - difference * (1.0 - w));
}
E round_decimals(const Args& a) {  // (self, decimals)
  const int64_t decimals = a.attribute(1).toInt();
  const double power = std::pow(10.0, static_cast<double>(std::abs(decimals)));
  return decimals < 0 ? unary(Op::kRound, a[0] / power) * power : unary(Op::kRound, a[0] * power) / power;
}

E nan_to_num(const Args& a) {  // (self, nan?, posinf?, neginf?)
  if (!c10::isFloatingType(a.dtype)) {
    return a[0];
  }
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double largest = std::numeric_limits<double>::max();
  switch (a.context.window(0).dtype) {
    case ScalarType::Float:
      largest = std::numeric_limits<float>::max();
      break;
    case ScalarType::Half:
      largest = std::numeric_limits<c10::Half>::max();
      break;
    case ScalarType::BFloat16:
      largest = std::numeric_limits<c10::BFloat16>::max();
      break;
    default:
      break;
  }
  const E x = a[0], number = a[1] ? a[1] : a.constant(0), high = a[2] ? a[2] : a.constant(largest),
          low = a[3] ? a[3] : a.constant(-largest);
  return where(not_equal(x, x), number, where(equal(x, a.constant(infinity)), high, where(equal(x, a.constant(-infinity)), low, x)));
}

E divide_rounding(const Args& a) {  // (self, other, rounding_mode)
  if (a.attribute(2).toStringRef() == "floor") {
    return binary(Op::kDivFloor, a[0], a[1]);
  }
  return c10::isFloatingType(a.dtype) ? unary(Op::kTrunc, a[0] / a[1]) : a[0] / a[1];
}

E least_common_multiple(const Args& a) {
  const E g = binary(Op::kGcd, a[0], a[1]), none = equal(g, a.constant(0));
  return where(none, a.constant(0), abs(a[0] / where(none, a.constant(1), g) * a[1]));
}

const Row kRows[] = {
    {"add.Tensor", C, 0, [](const Args& a) { return a[0] + a[2] * a[1]; }},
    {"add.Scalar", C, 2, [](const Args& a) { return a[0] + a[2] * a[1]; }},
    {"sub.Tensor", C, 0, [](const Args& a) { return a[0] - a[2] * a[1]; }},
    {"sub.Scalar", C, 2, [](const Args& a) { return a[0] - a[2] * a[1]; }},
    {"rsub.Tensor", C, 0, [](const Args& a) { return a[1] - a[2] * a[0]; }},
    {"rsub.Scalar", C, 2, [](const Args& a) { return a[1] - a[2] * a[0]; }},
    {"mul.Tensor", C, 0, [](const Args& a) { return a[0] * a[1]; }},
    {"mul.Scalar", C, 2, [](const Args& a) { return a[0] * a[1]; }},
    {"div.Tensor", F, 0, [](const Args& a) { return a[0] / a[1]; }},
    {"div.Scalar", F, 2, [](const Args& a) { return a[0] / a[1]; }},
    {"maximum", C, 0, binary_row<Op::kMax>},
    {"minimum", C, 0, binary_row<Op::kMin>},
    {"fmax", C, 0, binary_row<Op::kFmax>},
    {"fmin", C, 0, binary_row<Op::kFmin>},
    {"div.Tensor_mode", C, 0, divide_rounding},
    {"floor_divide", C, 0, binary_row<Op::kDivFloor>},
    {"nextafter", C, 0, binary_row<Op::kNextAfter>},
    {"copysign.Tensor", F, 0, binary_row<Op::kCopySign>},
    {"heaviside", C, 0, [](const Args& a) { return where(equal(a[0], a.constant(0)), a[1], cast(a[0] > a.constant(0), a.dtype)); }},
    {"remainder.Tensor", C, 0, binary_row<Op::kRemainder>},
    {"remainder.Scalar", C, 2, binary_row<Op::kRemainder>},
    {"fmod.Tensor", C, 0, binary_row<Op::kFmod>},
    {"fmod.Scalar", C, 2, binary_row<Op::kFmod>},
    {"remainder.Scalar_Tensor", C, 1, binary_row<Op::kRemainder>},
    {"gcd", C, 0, binary_row<Op::kGcd>},
    {"lcm", C, 0, least_common_multiple},
    {"pow.Tensor_Tensor", C, 0, power},
    {"pow.Tensor_Scalar", C, 2, power},
    {"pow.Scalar", C, 1, power},
    {"addcmul", C, 0, [](const Args& a) { return a[0] + a[3] * a[1] * a[2]; }},
    {"addcdiv", C, 0, [](const Args& a) { return a[0] + a[3] * a[1] / a[2]; }},
    {"lerp.Scalar", C, 0, lerp},
    {"lerp.Tensor", C, 0, lerp},
    {"clamp", C, 6, clamp},
    {"clamp.Tensor", C, 0, clamp},
    {"clamp_min", C, 2, [](const Args& a) { return maximum(a[0], a[1]); }},
    {"clamp_max", C, 2, [](const Args& a) { return minimum(a[0], a[1]); }},
    {"clamp_min.Tensor", C, 0, binary_row<Op::kMax>},
    {"clamp_max.Tensor", C, 0, binary_row<Op::kMin>},
    {"masked_fill.Scalar", Kind::kFirst, 0, [](const Args& a) { return where(a[1], a[2], a[0]); }},
    {"masked_fill.Tensor", Kind::kFirst, 0, [](const Args& a) { return where(a[1], a[2], a[0]); }},
    // comparison and logic
    {"eq.Tensor", C, 0, [](const Args& a) { return equal(a[0], a[1]); }},
    {"eq.Scalar", C, 2, [](const Args& a) { return equal(a[0], a[1]); }},
    {"ne.Tensor", C, 0, [](const Args& a) { return not_equal(a[0], a[1]); }},
    {"ne.Scalar", C, 2, [](const Args& a) { return not_equal(a[0], a[1]); }},
    {"lt.Tensor", C, 0, [](const Args& a) { return a[0] < a[1]; }},
    {"lt.Scalar", C, 2, [](const Args& a) { return a[0] < a[1]; }},
    {"le.Tensor", C, 0, [](const Args& a) { return a[0] <= a[1]; }},
    {"le.Scalar", C, 2, [](const Args& a) { return a[0] <= a[1]; }},
    {"gt.Tensor", C, 0, [](const Args& a) { return a[0] > a[1]; }},
    {"gt.Scalar", C, 2, [](const Args& a) { return a[0] > a[1]; }},
    {"ge.Tensor", C, 0, [](const Args& a) { return a[0] >= a[1]; }},
    {"ge.Scalar", C, 2, [](const Args& a) { return a[0] >= a[1]; }},
    {"logical_and", C, 0, [](const Args& a) { return truth(a[0]) & truth(a[1]); }},
    {"logical_or", C, 0, [](const Args& a) { return truth(a[0]) | truth(a[1]); }},
    {"logical_xor", C, 0, [](const Args& a) { return truth(a[0]) ^ truth(a[1]); }},
    {"logical_not", C, 0, [](const Args& a) { return !a[0]; }},
    {"isnan", C, 0, [](const Args& a) { return not_equal(a[0], a[0]); }},
    {"bitwise_and.Tensor", C, 0, binary_row<Op::kAnd>},
    {"bitwise_or.Tensor", C, 0, binary_row<Op::kOr>},
    {"bitwise_xor.Tensor", C, 0, binary_row<Op::kXor>},
    {"bitwise_not", C, 0, unary_row<Op::kBitNot>},
    {"__lshift__.Scalar", C, 2, binary_row<Op::kShl>},
    {"__lshift__.Tensor", C, 0, binary_row<Op::kShl>},
    {"bitwise_left_shift.Tensor", C, 0, binary_row<Op::kShl>},
    {"__rshift__.Scalar", C, 2, binary_row<Op::kShr>},
    {"__rshift__.Tensor", C, 0, binary_row<Op::kShr>},
    {"bitwise_right_shift.Tensor", C, 0, binary_row<Op::kShr>},
    {"isposinf", C, 0,
     [](const Args& a) {
       return c10::isFloatingType(a.dtype) ? equal(a[0], a.constant(std::numeric_limits<double>::infinity()))
                                           : a.builder.constant(0, ScalarType::Bool);
     }},
    {"isneginf", C, 0,
     [](const Args& a) {
       return c10::isFloatingType(a.dtype) ? equal(a[0], a.constant(-std::numeric_limits<double>::infinity()))
                                           : a.builder.constant(0, ScalarType::Bool);
     }},
    {"signbit", C, 0,
     [](const Args& a) {
       if (a.dtype == ScalarType::Bool) {
         return a.constant(0);
       }
       return (c10::isFloatingType(a.dtype) ? binary(Op::kCopySign, a.constant(1), a[0]) : a[0]) < 0.0;
     }},
    // unary
    {"neg", C, 0, unary_row<Op::kNeg>},
    {"abs", C, 0, [](const Args& a) { return abs(a[0]); }},
    {"sign", C, 0, [](const Args& a) { return a.dtype == ScalarType::Bool ? a[0] : unary(Op::kSign, a[0]); }},
    {"sgn", C, 0, [](const Args& a) { return a.dtype == ScalarType::Bool ? a[0] : unary(Op::kSign, a[0]); }},
    {"floor", C, 0, rounding_row<Op::kFloor>},
    {"ceil", C, 0, rounding_row<Op::kCeil>},
    {"trunc", C, 0, rounding_row<Op::kTrunc>},
    {"round", C, 0, rounding_row<Op::kRound>},
    {"round.decimals", C, 0, round_decimals},
    {"frac", C, 0, [](const Args& a) { return a[0] - unary(Op::kTrunc, a[0]); }},
    {"nan_to_num", C, 0, nan_to_num},
};

}  // namespace

std::vector<Row> arithmetic_rows() {
  return {std::begin(kRows), std::end(kRows)};
}

}  // namespace torch_hpu::compiler::pointwise
