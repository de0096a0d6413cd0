// Exponentials, trigonometry, special functions.
#include "csrc/compiler/pointwise.h"

namespace torch_hpu::compiler::pointwise {
namespace {

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

const Row kRows[] = {
    {"atan2", F, 0, binary_row<Op::kAtan2>},
    {"hypot", C, 0, binary_row<Op::kHypot>},
    {"logaddexp", C, 0, log_add_exp<Op::kExp, Op::kLog>},
    {"logaddexp2", C, 0, log_add_exp<Op::kExp2, Op::kLog2>},
    {"xlogy.Tensor", F, 0, xlogy},
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
};

}  // namespace

std::vector<Row> function_rows() {
  return {std::begin(kRows), std::end(kRows)};
}

}  // namespace torch_hpu::compiler::pointwise
