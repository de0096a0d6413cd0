// Pointwise ops: how arguments are loaded, in which dtype an op computes, and one row per op with its formula.
#include <c10/core/DefaultDtype.h>

#include <cmath>

#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::Op;

// The arguments of a pointwise op by their place in the schema; one that was left out is false.
struct Args {
  LoweringContext& context;
  LoopBuilder& builder;
  std::vector<E> x;
  ScalarType dtype;  // of the computation

  E operator[](size_t i) const {
    return x[i];
  }
  E constant(double value) const {
    return builder.constant(value, dtype);
  }
  const c10::IValue& attribute(size_t i) const {
    return context.node.args[i].value;
  }
};

enum class Kind : uint8_t {
  kCommon,  // computed in the common dtype
  kFloat,   // integers become the default float dtype
  kFirst,   // in the dtype of argument 0: the others are cast
};

struct Row {
  const char* name;
  Kind kind;
  uint64_t scalars;  // numbers that take part in type promotion (bit i: argument i)
  E (*formula)(const Args& x);
};

constexpr double kSqrtHalf = 0.70710678118654752440, kTwoOverSqrtPi = 1.12837916709551257390, kSqrtTwoOverPi = 0.79788456080286535588;

E gelu_tanh_argument(E x) {
  return kSqrtTwoOverPi * (x + 0.044715 * x * x * x);
}

E gelu(const Args& a) {
  const E x = a[0];
  if (a.attribute(1).toStringRef() == "tanh") {
    return 0.5 * x * (1.0 + tanh(gelu_tanh_argument(x)));
  }
  return x * 0.5 * (1.0 + erf(x * kSqrtHalf));
}

E gelu_backward(const Args& a) {
  const E g = a[0], x = a[1];
  if (a.attribute(2).toStringRef() == "tanh") {
    const E t = tanh(gelu_tanh_argument(x));
    const E derivative = kSqrtTwoOverPi * (1.0 + 3 * 0.044715 * x * x);
    return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * derivative);
  }
  const E cdf = 0.5 * (1.0 + erf(x * kSqrtHalf));
  const E pdf = exp(x * x * -0.5) * (kTwoOverSqrtPi * kSqrtHalf * 0.5);
  return g * (cdf + x * pdf);
}

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

template <Op op>
E unary_row(const Args& a) {
  return unary(op, a[0]);
}
// Rounding does nothing to integers.
template <Op op>
E rounding_row(const Args& a) {
  return c10::isFloatingType(a.dtype) ? unary(op, a[0]) : a[0];
}
template <Op op>
E binary_row(const Args& a) {
  return binary(op, a[0], a[1]);
}

E unary_to_bool(Op op, E x) {
  return x.builder->make(op, ScalarType::Bool, x);
}

E lerp(const Args& a) {
  const E w = a[2], difference = a[1] - a[0];
  return where(abs(w) < 0.5, a[0] + w * difference, a[1] - difference * (1.0 - w));
}

E softplus(const Args& a) {  // (self, beta, threshold)
  const E z = a[0] * a[1];
  return where(z > a[2], a[0], log1p(exp(z)) / a[1]);
}

E xlogy(const Args& a) {
  const E x = a[0], y = a[1];
  return where(not_equal(y, y), y, where(equal(x, a.constant(0)), a.constant(0), x * log(y)));
}

// log(exp(a) + exp(b)) and its twin of base 2, without overflow.
template <Op exponential, Op logarithm>
E log_add_exp(const Args& a) {
  const E x = a[0], y = a[1], one = a.constant(1);
  const E sum = maximum(x, y) + unary(logarithm, one + unary(exponential, -abs(x - y)));
  return where(equal(x, y) & unary_to_bool(Op::kIsInf, x), x, sum);
}

E logit(const Args& a) {  // (self, eps?)
  const E x = a[1] ? minimum(maximum(a[0], a[1]), 1.0 - a[1]) : a[0];
  return log(x / (1.0 - x));
}

E logit_backward(const Args& a) {  // (grad_output, self, eps?)
  const E x = a[1], low = a[2] ? a[2] : a.constant(0);
  const E outside = a.constant(a[2] ? 0 : std::numeric_limits<double>::quiet_NaN());
  return where((x < low) | (x > 1.0 - low), outside, a[0] / (x * (1.0 - x)));
}

E elu_backward(const Args& a) {  // (grad_output, alpha, scale, input_scale, is_result, self_or_result)
  const E g = a[0], negative = a[1] * a[2], y = a[5];
  const E below = a.attribute(4).toBool() ? g * a[3] * (y + negative) : g * a[3] * negative * exp(y * a[3]);
  return where(y <= 0.0, below, g * a[2]);
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

constexpr Kind C = Kind::kCommon, F = Kind::kFloat;

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
    {"atan2", F, 0, binary_row<Op::kAtan2>},
    {"div.Tensor_mode", C, 0, divide_rounding},
    {"floor_divide", C, 0, binary_row<Op::kDivFloor>},
    {"hypot", C, 0, binary_row<Op::kHypot>},
    {"nextafter", C, 0, binary_row<Op::kNextAfter>},
    {"copysign.Tensor", F, 0, binary_row<Op::kCopySign>},
    {"logaddexp", C, 0, log_add_exp<Op::kExp, Op::kLog>},
    {"logaddexp2", C, 0, log_add_exp<Op::kExp2, Op::kLog2>},
    {"xlogy.Tensor", F, 0, xlogy},
    {"heaviside", C, 0,
     [](const Args& a) { return where(equal(a[0], a.constant(0)), a[1], cast(a[0] > a.constant(0), a.dtype)); }},
    {"remainder.Tensor", C, 0, binary_row<Op::kRemainder>},
    {"remainder.Scalar", C, 2, binary_row<Op::kRemainder>},
    {"fmod.Tensor", C, 0, binary_row<Op::kFmod>},
    {"fmod.Scalar", C, 2, binary_row<Op::kFmod>},
    {"pow.Tensor_Tensor", C, 0, power},
    {"pow.Tensor_Scalar", C, 2, power},
    {"pow.Scalar", C, 1, power},
    {"addcmul", C, 0, [](const Args& a) { return a[0] + a[3] * a[1] * a[2]; }},
    {"addcdiv", C, 0, [](const Args& a) { return a[0] + a[3] * (a[1] / a[2]); }},
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
    {"exp", F, 0, unary_row<Op::kExp>},
    {"exp2", F, 0, unary_row<Op::kExp2>},
    {"expm1", F, 0, unary_row<Op::kExpm1>},
    {"log", F, 0, unary_row<Op::kLog>},
    {"log2", F, 0, unary_row<Op::kLog2>},
    {"log10", F, 0, unary_row<Op::kLog10>},
    {"log1p", F, 0, unary_row<Op::kLog1p>},
    {"sqrt", F, 0, unary_row<Op::kSqrt>},
    {"rsqrt", F, 0, unary_row<Op::kRsqrt>},
    {"reciprocal", F, 0, unary_row<Op::kReciprocal>},
    {"sin", F, 0, unary_row<Op::kSin>},
    {"cos", F, 0, unary_row<Op::kCos>},
    {"tan", F, 0, unary_row<Op::kTan>},
    {"asin", F, 0, unary_row<Op::kAsin>},
    {"acos", F, 0, unary_row<Op::kAcos>},
    {"atan", F, 0, unary_row<Op::kAtan>},
    {"sinh", F, 0, unary_row<Op::kSinh>},
    {"cosh", F, 0, unary_row<Op::kCosh>},
    {"tanh", F, 0, unary_row<Op::kTanh>},
    {"asinh", F, 0, unary_row<Op::kAsinh>},
    {"acosh", F, 0, unary_row<Op::kAcosh>},
    {"atanh", F, 0, unary_row<Op::kAtanh>},
    {"erf", F, 0, unary_row<Op::kErf>},
    {"erfc", F, 0, unary_row<Op::kErfc>},
    {"sigmoid", F, 0, unary_row<Op::kSigmoid>},
    {"erfinv", F, 0, unary_row<Op::kErfinv>},
    {"lgamma", F, 0, unary_row<Op::kLgamma>},
    {"digamma", F, 0, unary_row<Op::kDigamma>},
    {"logit", F, 0, logit},
    {"logit_backward", C, 0, logit_backward},
    // activations
    {"relu", C, 0, [](const Args& a) { return a.dtype == ScalarType::Bool ? a[0] : maximum(a[0], a.constant(0)); }},
    {"gelu", C, 0, gelu},
    {"gelu_backward", C, 0, gelu_backward},
    {"silu", C, 0, [](const Args& a) { return a[0] * sigmoid(a[0]); }},
    {"silu_backward", C, 0,
     [](const Args& a) {
       const E s = sigmoid(a[1]);
       return a[0] * s * (1.0 + a[1] * (1.0 - s));
     }},
    {"sigmoid_backward", C, 0, [](const Args& a) { return a[0] * (1.0 - a[1]) * a[1]; }},
    {"tanh_backward", C, 0, [](const Args& a) { return a[0] * (1.0 - a[1] * a[1]); }},
    {"hardtanh", C, 0, [](const Args& a) { return minimum(maximum(a[0], a[1]), a[2]); }},
    {"hardtanh_backward", C, 0, [](const Args& a) { return where((a[1] <= a[2]) | (a[1] >= a[3]), a.constant(0), a[0]); }},
    {"hardswish", C, 0, [](const Args& a) { return a[0] * minimum(maximum(a[0] + 3, a.constant(0)), a.constant(6)) / 6; }},
    {"hardswish_backward", C, 0,
     [](const Args& a) {
       return where(a[1] < -3.0, a.constant(0), where(a[1] <= 3.0, a[0] * (a[1] / 3 + 0.5), a[0]));
     }},
    {"hardsigmoid", C, 0, [](const Args& a) { return minimum(maximum(a[0] + 3, a.constant(0)), a.constant(6)) / 6; }},
    {"hardsigmoid_backward", C, 0, [](const Args& a) { return where((a[1] > -3.0) & (a[1] < 3.0), a[0] / 6, a.constant(0)); }},
    {"leaky_relu", C, 0, [](const Args& a) { return where(a[0] > 0.0, a[0], a[0] * a[1]); }},
    {"leaky_relu_backward", C, 0, [](const Args& a) { return where(a[1] > 0.0, a[0], a[0] * a[2]); }},
    {"elu", C, 0,
     [](const Args& a) { return where(a[0] > 0.0, a[0] * a[2], unary(Op::kExpm1, a[0] * a[3]) * a[1] * a[2]); }},
    {"elu_backward", C, 0, elu_backward},
    {"softplus", C, 0, softplus},
    {"softplus_backward", C, 0,
     [](const Args& a) {
       const E z = exp(a[1] * a[2]);
       return where(a[1] * a[2] > a[3], a[0], a[0] * z / (z + 1.0));
     }},
    {"mish", C, 0, [](const Args& a) { return a[0] * tanh(log1p(exp(a[0]))); }},
    {"threshold", C, 0, [](const Args& a) { return where(a[0] <= a[1], a[2], a[0]); }},
    {"threshold_backward", C, 0, [](const Args& a) { return where(a[1] <= a[2], a.constant(0), a[0]); }},
    {"hardshrink", C, 0, [](const Args& a) { return where((a[0] >= -a[1]) & (a[0] <= a[1]), a.constant(0), a[0]); }},
    {"hardshrink_backward", C, 0, [](const Args& a) { return where((a[1] >= -a[2]) & (a[1] <= a[2]), a.constant(0), a[0]); }},
    {"softshrink", C, 0,
     [](const Args& a) { return where(a[0] > a[1], a[0] - a[1], where(a[0] < -a[1], a[0] + a[1], a[0] * 0)); }},
    {"softshrink_backward", C, 0, [](const Args& a) { return where((a[1] >= -a[2]) & (a[1] <= a[2]), a.constant(0), a[0]); }},
    {"_prelu_kernel", C, 0, [](const Args& a) { return where(a[0] > 0.0, a[0], a[1] * a[0]); }},
    {"log_sigmoid_backward", C, 0, [](const Args& a) { return a[0] * (1.0 - sigmoid(a[1])); }},
    {"native_dropout_backward", Kind::kFirst, 0, [](const Args& a) { return a[0] * cast(a[1], a.dtype) * a[2]; }},
    // copies and fills; argument 0 of fills and of copy gives the shape only
    {"clone", Kind::kFirst, 0, [](const Args& a) { return a[0]; }},
};

ScalarType dtype_of(const LoweringContext& c, const Row& row) {
  if (row.kind == Kind::kFirst) {
    return compute_dtype(c.window(0).dtype);
  }
  Promotion promotion;
  for (size_t i = 0; i < c.node.args.size(); ++i) {
    const ir::Arg& a = c.node.args[i];
    if (a.kind == ir::Arg::Kind::kWindow) {
      promotion.tensor(c.window(i).dtype, !c.window(i).sizes.empty(), a.wrapped);
    } else if (a.kind == ir::Arg::Kind::kScalarTensor) {
      promotion.tensor(a.dtype, false, a.wrapped);
    } else if (a.kind == ir::Arg::Kind::kScalar && (row.scalars >> i & 1)) {
      promotion.scalar(c.graph.scalars[a.index].category);
    } else if (a.kind == ir::Arg::Kind::kConst && (row.scalars >> i & 1)) {
      promotion.scalar(a.value.isBool()  ? ir::ScalarCategory::kBool
                       : a.value.isInt() ? ir::ScalarCategory::kInt
                                         : ir::ScalarCategory::kFloat);
    }
  }
  ScalarType dtype = promotion.result();
  if (row.kind == Kind::kFloat && c10::isIntegralType(dtype, true)) {
    dtype = c10::get_default_dtype_as_scalartype();
  }
  return compute_dtype(dtype);
}

const Row* find(std::string_view name) {
  static const auto* rows = [] {
    auto* map = new std::unordered_map<std::string_view, const Row*>;
    for (const Row& row : kRows) {
      map->emplace(row.name, &row);
    }
    return map;
  }();
  auto it = rows->find(name);
  return it == rows->end() ? nullptr : it->second;
}

std::string_view local_name(const LoweringContext& c) {
  return std::string_view(c.node.op->name).substr(6);  // without "aten::"
}

bool lower_row(LoweringContext& c) {
  const Row& row = *find(local_name(c));
  if (c.node.writes.size() != 1 || !loopable(c)) {
    return false;
  }
  LoopBuilder b(c, row.name, c.write(0).sizes, c.write(0).sizes.size());
  Args args{c, b, {}, dtype_of(c, row)};
  for (size_t i = 0; i < c.node.args.size(); ++i) {
    const ir::Arg& a = c.node.args[i];
    E x;
    switch (a.kind) {
      case ir::Arg::Kind::kWindow:
        x = row.kind == Kind::kFirst && c.window(i).dtype == ScalarType::Bool ? b.load(a.index) : cast(b.load(a.index), args.dtype);
        break;
      case ir::Arg::Kind::kScalarTensor:
      case ir::Arg::Kind::kScalar:
        x = b.scalar(a.index, args.dtype);
        break;
      case ir::Arg::Kind::kConst:
        if (a.value.isInt() || a.value.isDouble() || a.value.isBool()) {
          x = b.constant(a.value.isInt()    ? static_cast<double>(a.value.toInt())
                         : a.value.isBool() ? a.value.toBool()
                                            : a.value.toDouble(),
                         args.dtype);
        }
        break;
      default:
        break;
    }
    args.x.push_back(x);
  }
  b.store(c.node.writes[0], row.formula(args));
  b.finish();
  return true;
}

// where(condition, x, y): the condition takes no part in the dtype.
bool lower_where(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "where", c.write(0).sizes, c.write(0).sizes.size());
  Promotion promotion;
  for (size_t i : {size_t{1}, size_t{2}}) {
    const ir::Arg& a = c.node.args[i];
    a.kind == ir::Arg::Kind::kWindow ? promotion.tensor(c.window(i).dtype, !c.window(i).sizes.empty(), a.wrapped)
                                     : promotion.tensor(a.dtype, false, a.wrapped);
  }
  const ScalarType dtype = compute_dtype(promotion.result());
  auto value = [&](size_t i) {
    const ir::Arg& a = c.node.args[i];
    return a.kind == ir::Arg::Kind::kWindow ? cast(b.load(a.index), dtype) : b.scalar(a.index, dtype);
  };
  const ir::Arg& condition = c.node.args[0];
  const E chosen = condition.kind == ir::Arg::Kind::kWindow ? b.load(condition.index) : b.scalar(condition.index, ScalarType::Bool);
  b.store(c.node.writes[0], where(chosen, value(1), value(2)));
  b.finish();
  return true;
}

bool lower_copy(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "copy", c.write(0).sizes, c.write(0).sizes.size());
  const ir::Arg& source = c.node.args[1];
  const E x = source.kind == ir::Arg::Kind::kWindow ? b.load(source.index) : b.scalar(source.index, compute_dtype(source.dtype));
  b.store(c.node.writes[0], x);
  b.finish();
  return true;
}

bool lower_fill(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "fill", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  E value = b.constant(0, dtype);
  if (c.node.args.size() > 1) {
    const ir::Arg& a = c.node.args[1];
    if (a.kind == ir::Arg::Kind::kWindow) {
      value = cast(b.load(a.index), dtype);
    } else if (a.kind == ir::Arg::Kind::kScalar || a.kind == ir::Arg::Kind::kScalarTensor) {
      value = b.scalar(a.index, dtype);
    } else {
      return false;
    }
  }
  b.store(c.node.writes[0], value);
  b.finish();
  return true;
}

// Rounding division; without a mode it is true division, which promotes otherwise.
bool lower_divide_mode(LoweringContext& c) {
  return !c.node.args[2].is_none() && lower_row(c);
}

bool lower_log_sigmoid(LoweringContext& c) {  // (self) -> (output, buffer)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "log_sigmoid", c.write(0).sizes, c.write(0).sizes.size());
  const E x = b.load(c.node.args[0].index);
  const E z = exp(-abs(x));
  b.store(c.node.writes[0], minimum(x, b.constant(0, x.dtype())) - log1p(z));
  b.store(c.node.writes[1], z);
  b.finish();
  return true;
}

bool lower_prelu_backward(LoweringContext& c) {  // (grad_output, self, weight) -> (grad_self, grad_weight before it is summed)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "prelu_backward", c.write(0).sizes, c.write(0).sizes.size());
  const E g = b.load(c.node.args[0].index), x = b.load(c.node.args[1].index), w = b.load(c.node.args[2].index);
  b.store(c.node.writes[0], where(x > 0.0, g, w * g));
  b.store(c.node.writes[1], where(x > 0.0, b.constant(0, x.dtype()), x * g));
  b.finish();
  return true;
}

// The element's place in logical order: what random streams are numbered by.
E linear_index(LoopBuilder& b) {
  E linear = b.constant(0, ScalarType::Long);
  for (size_t d = 0; d < b.sizes().size(); ++d) {
    linear = linear * static_cast<double>(b.sizes()[d]) + b.index(d);
  }
  return linear;
}

bool lower_uniform(LoweringContext& c) {  // (self, from, to)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "uniform", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  const E low = b.scalar(c.node.args[1].index, dtype), high = b.scalar(c.node.args[2].index, dtype);
  b.store(c.node.writes[0], low + (high - low) * b.uniform(linear_index(b), dtype));
  b.finish();
  return true;
}

bool lower_normal(LoweringContext& c) {  // (self, mean, std)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "normal", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  const E i = linear_index(b) * 2;
  const E u = b.uniform(i, dtype), v = b.uniform(i + 1, dtype);
  const E radius = sqrt(-2.0 * log(1.0 - u));
  const E normal = radius * unary(Op::kCos, v * (2 * M_PI));
  b.store(c.node.writes[0], b.scalar(c.node.args[1].index, dtype) + b.scalar(c.node.args[2].index, dtype) * normal);
  b.finish();
  return true;
}

bool lower_bernoulli(LoweringContext& c) {  // (self, p)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "bernoulli", c.write(0).sizes, c.write(0).sizes.size());
  b.store(c.node.writes[0], b.uniform(linear_index(b), ScalarType::Float) < b.scalar(c.node.args[1].index, ScalarType::Float));
  b.finish();
  return true;
}

bool lower_bernoulli_self(LoweringContext& c) {  // (probabilities)
  if (!loopable(c) || !c10::isFloatingType(c.window(0).dtype)) {
    return false;
  }
  LoopBuilder b(c, "bernoulli", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.window(0).dtype);
  b.store(c.node.writes[0], cast(b.uniform(linear_index(b), ScalarType::Float), dtype) < b.load(c.node.args[0].index));
  b.finish();
  return true;
}

bool lower_dropout(LoweringContext& c) {  // (input, p, train) -> (out, mask)
  if (!loopable(c) || !c10::isFloatingType(c.window(0).dtype)) {
    return false;
  }
  LoopBuilder b(c, "dropout", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.window(0).dtype);
  const E keep = 1.0 - b.scalar(c.node.args[1].index, ScalarType::Double);
  const E mask = b.uniform(linear_index(b), ScalarType::Float) < cast(keep, ScalarType::Float);
  const E scale = where(keep > 0.0, 1.0 / keep, b.constant(0, ScalarType::Double));
  b.store(c.node.writes[0], b.load(c.node.args[0].index) * cast(mask, dtype) * cast(scale, dtype));
  b.store(c.node.writes[1], mask);
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> pointwise_lowerings() {
  std::vector<LoweringRow> rows{{"where.self", &lower_where},
                                {"copy", &lower_copy},
                                {"fill.Scalar", &lower_fill},
                                {"fill.Tensor", &lower_fill},
                                {"zero", &lower_fill},
                                {"uniform", &lower_uniform},
                                {"normal_functional", &lower_normal},
                                {"bernoulli.p", &lower_bernoulli},
                                {"bernoulli", &lower_bernoulli_self},
                                {"native_dropout", &lower_dropout},
                                {"div.Tensor_mode", &lower_divide_mode},
                                {"log_sigmoid_forward", &lower_log_sigmoid},
                                {"_prelu_kernel_backward", &lower_prelu_backward}};
  for (const Row& row : kRows) {
    rows.push_back({row.name, &lower_row});
  }
  return rows;
}

}  // namespace torch_hpu::compiler
