// Exponentials, trigonometry, special functions.
#include <cmath>

#include "csrc/compiler/pointwise.h"

namespace torch_hpu::compiler::pointwise {
namespace {

E xlogy(const Args& a) {
  const E x = a[0], y = a[1];
  return where(not_equal(y, y), y, where(equal(x, a.constant(0)), a.constant(0), x * log(y)));
}

// log(exp(a) + exp(b)) and its twin of base 2, without overflow.
template <bool Binary>
E log_add_exp(const Args& a) {
  const E x = a[0], y = a[1], distance = -abs(x - y);
  const E more = Binary ? log1p(unary(Op::kExp2, distance)) * M_LOG2E : log1p(exp(distance));
  return where(equal(x, y) & unary_to_bool(Op::kIsInf, x), x, maximum(x, y) + more);
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

E sinc(const Args& a) {
  const E z = a[0] * M_PI;
  return where(equal(a[0], a.constant(0)), a.constant(1), unary(Op::kSin, z) / z);
}

E entropy(const Args& a) {
  const E x = a[0];
  const E rest = where(equal(x, a.constant(0)), a.constant(0), a.constant(-kInfinity));
  return where(not_equal(x, x), x, where(x > 0.0, -x * log(x), rest));
}

E xlog1py(const Args& a) {
  const E x = a[0], y = a[1];
  return where(not_equal(y, y), y, where(equal(x, a.constant(0)), a.constant(0), x * log1p(y)));
}

E log_ndtr(const Args& a) {
  const E x = a[0], t = x * M_SQRT1_2;
  return where(x < -1.0, log(unary(Op::kErfcx, -t) / 2) - t * t, log1p(unary(Op::kErfc, t) / -2));
}

E polygamma(const Args& a) {  // (n, self)
  const int64_t n = a.attribute(0).toInt();
  const E x = a[1];
  if (n == 0) {
    return unary(Op::kDigamma, x);
  }
  if (n == 1) {
    return unary(Op::kTrigamma, x);
  }
  const double factor = (n % 2 == 1 ? 1 : -1) * std::exp(std::lgamma(static_cast<double>(n) + 1));
  return factor * binary(Op::kZeta, a.constant(static_cast<double>(n + 1)), x);
}

const Row kRows[] = {
    {"atan2", F, 0, binary_row<Op::kAtan2>},
    {"hypot", C, 0, binary_row<Op::kHypot>},
    {"logaddexp", C, 0, log_add_exp<false>},
    {"logaddexp2", C, 0, log_add_exp<true>},
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
    // special functions
    {"i0", F, 0, unary_row<Op::kI0>},
    {"sinc", F, 0, sinc},
    {"special_entr", F, 0, entropy},
    {"special_erfcx", F, 0, unary_row<Op::kErfcx>},
    {"special_ndtri", F, 0, unary_row<Op::kNdtri>},
    {"special_log_ndtr", F, 0, log_ndtr},
    {"special_i0e", F, 0, unary_row<Op::kI0e>},
    {"special_i1", F, 0, unary_row<Op::kI1>},
    {"special_i1e", F, 0, unary_row<Op::kI1e>},
    {"special_airy_ai", F, 0, unary_row<Op::kAiryAi>},
    {"special_bessel_j0", F, 0, unary_row<Op::kBesselJ0>},
    {"special_bessel_j1", F, 0, unary_row<Op::kBesselJ1>},
    {"special_bessel_y0", F, 0, unary_row<Op::kBesselY0>},
    {"special_bessel_y1", F, 0, unary_row<Op::kBesselY1>},
    {"special_modified_bessel_i0", F, 0, unary_row<Op::kModifiedBesselI0>},
    {"special_modified_bessel_i1", F, 0, unary_row<Op::kModifiedBesselI1>},
    {"special_modified_bessel_k0", F, 0, unary_row<Op::kModifiedBesselK0>},
    {"special_modified_bessel_k1", F, 0, unary_row<Op::kModifiedBesselK1>},
    {"special_scaled_modified_bessel_k0", F, 0, unary_row<Op::kScaledModifiedBesselK0>},
    {"special_scaled_modified_bessel_k1", F, 0, unary_row<Op::kScaledModifiedBesselK1>},
    {"special_spherical_bessel_j0", F, 0, unary_row<Op::kSphericalBesselJ0>},
    {"polygamma", F, 0, polygamma},
    {"special_xlog1py", F, 0, xlog1py},
    {"special_zeta", F, 0, binary_row<Op::kZeta>},
    {"special_chebyshev_polynomial_t", F, 0, binary_row<Op::kChebyshevT>},
    {"special_chebyshev_polynomial_u", F, 0, binary_row<Op::kChebyshevU>},
    {"special_chebyshev_polynomial_v", F, 0, binary_row<Op::kChebyshevV>},
    {"special_chebyshev_polynomial_w", F, 0, binary_row<Op::kChebyshevW>},
    {"special_shifted_chebyshev_polynomial_t", F, 0, binary_row<Op::kShiftedChebyshevT>},
    {"special_shifted_chebyshev_polynomial_u", F, 0, binary_row<Op::kShiftedChebyshevU>},
    {"special_shifted_chebyshev_polynomial_v", F, 0, binary_row<Op::kShiftedChebyshevV>},
    {"special_shifted_chebyshev_polynomial_w", F, 0, binary_row<Op::kShiftedChebyshevW>},
    {"special_hermite_polynomial_h", F, 0, binary_row<Op::kHermiteH>},
    {"special_hermite_polynomial_he", F, 0, binary_row<Op::kHermiteHe>},
    {"special_laguerre_polynomial_l", F, 0, binary_row<Op::kLaguerreL>},
    {"special_legendre_polynomial_p", F, 0, binary_row<Op::kLegendreP>},
    {"igamma", C, 0, binary_row<Op::kIgamma>},
    {"igammac", C, 0, binary_row<Op::kIgammac>},
    {"angle", F, 0, [](const Args& a) { return where(equal(a[0], a[0]), where(a[0] < 0.0, a.constant(M_PI), a.constant(0)), a[0]); }},
};

}  // namespace

std::vector<Row> function_rows() {
  return {std::begin(kRows), std::end(kRows)};
}

}  // namespace torch_hpu::compiler::pointwise
