// libm where ATen's scalar kernels use libm, ATen's own calc_ functions where they use those.
#include "csrc/codegen/scalar_math.h"

#include <ATen/native/Math.h>
#include <ATen/native/Pow.h>
#include <c10/util/Half.h>

#include <cmath>

namespace torch_hpu::codegen {
namespace {

using c10::ScalarType;

template <class T, T (*f)(T)>
void map1(T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    x[i] = f(x[i]);
  }
}

template <class T, T (*f)(T, T)>
void map2(T* x, const T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    x[i] = f(x[i], y[i]);
  }
}

template <class T>
T erfinv(T x) {
  return calc_erfinv(x);
}
template <class T>
T digamma(T x) {
  return static_cast<T>(calc_digamma(x));
}
template <class T>
T lgamma_of(T x) {  // std::lgamma writes a global sign, which is a race but harmless; the re-entrant form has none
  int sign = 0;
  if constexpr (std::is_same_v<T, float>) {
    return ::lgammaf_r(x, &sign);
  } else {
    return ::lgamma_r(x, &sign);
  }
}
template <class T>
T zeta_of(T x, T q) {
  return zeta<T>(x, q);
}
template <class T>
T frexp_mantissa(T x) {
  int exponent = 0;
  return std::frexp(x, &exponent);
}
template <class T>
T frexp_exponent(T x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  return static_cast<T>(exponent);
}
template <class T>
T gcd_of(T x, T y) {
  return calc_gcd(x, y);
}
template <class T>
T power(T x, T y) {
  if constexpr (std::is_integral_v<T>) {
    return at::native::powi(x, y);
  } else {
    return std::pow(x, y);
  }
}

template <class T>
void add_float(std::vector<ArrayFunction>& table, ScalarType dtype) {
  const auto one = [&](Op op, void (*f)(T*, int64_t)) { table.push_back({op, dtype, reinterpret_cast<void*>(f)}); };
  const auto two = [&](Op op, void (*f)(T*, const T*, int64_t)) { table.push_back({op, dtype, reinterpret_cast<void*>(f)}); };
  one(Op::kExp, map1<T, std::exp>);
  one(Op::kExp2, map1<T, std::exp2>);
  one(Op::kExpm1, map1<T, std::expm1>);
  one(Op::kLog, map1<T, std::log>);
  one(Op::kLog2, map1<T, std::log2>);
  one(Op::kLog10, map1<T, std::log10>);
  one(Op::kLog1p, map1<T, std::log1p>);
  one(Op::kSin, map1<T, std::sin>);
  one(Op::kCos, map1<T, std::cos>);
  one(Op::kTan, map1<T, std::tan>);
  one(Op::kAsin, map1<T, std::asin>);
  one(Op::kAcos, map1<T, std::acos>);
  one(Op::kAtan, map1<T, std::atan>);
  one(Op::kSinh, map1<T, std::sinh>);
  one(Op::kCosh, map1<T, std::cosh>);
  one(Op::kTanh, map1<T, std::tanh>);
  one(Op::kAsinh, map1<T, std::asinh>);
  one(Op::kAcosh, map1<T, std::acosh>);
  one(Op::kAtanh, map1<T, std::atanh>);
  one(Op::kErf, map1<T, std::erf>);
  one(Op::kErfc, map1<T, std::erfc>);
  one(Op::kErfinv, map1<T, erfinv<T>>);
  one(Op::kLgamma, map1<T, lgamma_of<T>>);
  one(Op::kDigamma, map1<T, digamma<T>>);
  one(Op::kErfcx, map1<T, calc_erfcx<T>>);
  one(Op::kNdtri, map1<T, calc_ndtri<T>>);
  one(Op::kTrigamma, map1<T, trigamma>);
  one(Op::kI0, map1<T, calc_i0<T>>);
  one(Op::kI0e, map1<T, calc_i0e<T>>);
  one(Op::kI1, map1<T, calc_i1<T>>);
  one(Op::kI1e, map1<T, calc_i1e<T>>);
  one(Op::kAiryAi, map1<T, airy_ai_forward<T>>);
  one(Op::kBesselJ0, map1<T, bessel_j0_forward<T>>);
  one(Op::kBesselJ1, map1<T, bessel_j1_forward<T>>);
  one(Op::kBesselY0, map1<T, bessel_y0_forward<T>>);
  one(Op::kBesselY1, map1<T, bessel_y1_forward<T>>);
  one(Op::kModifiedBesselI0, map1<T, modified_bessel_i0_forward<T>>);
  one(Op::kModifiedBesselI1, map1<T, modified_bessel_i1_forward<T>>);
  one(Op::kModifiedBesselK0, map1<T, modified_bessel_k0_forward<T>>);
  one(Op::kModifiedBesselK1, map1<T, modified_bessel_k1_forward<T>>);
  one(Op::kScaledModifiedBesselK0, map1<T, scaled_modified_bessel_k0_forward<T>>);
  one(Op::kScaledModifiedBesselK1, map1<T, scaled_modified_bessel_k1_forward<T>>);
  one(Op::kSphericalBesselJ0, map1<T, spherical_bessel_j0_forward<T>>);
  one(Op::kFrexpMantissa, map1<T, frexp_mantissa<T>>);
  one(Op::kFrexpExponent, map1<T, frexp_exponent<T>>);
  two(Op::kPow, map2<T, power<T>>);
  two(Op::kFmod, map2<T, std::fmod>);
  two(Op::kAtan2, map2<T, std::atan2>);
  two(Op::kHypot, map2<T, std::hypot>);
  two(Op::kNextAfter, map2<T, std::nextafter>);
  two(Op::kZeta, map2<T, zeta_of<T>>);
  two(Op::kIgamma, map2<T, calc_igamma<T>>);
  two(Op::kIgammac, map2<T, calc_igammac<T>>);
  two(Op::kChebyshevT, map2<T, chebyshev_polynomial_t_forward<T>>);
  two(Op::kChebyshevU, map2<T, chebyshev_polynomial_u_forward<T>>);
  two(Op::kChebyshevV, map2<T, chebyshev_polynomial_v_forward<T>>);
  two(Op::kChebyshevW, map2<T, chebyshev_polynomial_w_forward<T>>);
  two(Op::kShiftedChebyshevT, map2<T, shifted_chebyshev_polynomial_t_forward<T>>);
  two(Op::kShiftedChebyshevU, map2<T, shifted_chebyshev_polynomial_u_forward<T>>);
  two(Op::kShiftedChebyshevV, map2<T, shifted_chebyshev_polynomial_v_forward<T>>);
  two(Op::kShiftedChebyshevW, map2<T, shifted_chebyshev_polynomial_w_forward<T>>);
  two(Op::kHermiteH, map2<T, hermite_polynomial_h_forward<T>>);
  two(Op::kHermiteHe, map2<T, hermite_polynomial_he_forward<T>>);
  two(Op::kLaguerreL, map2<T, laguerre_polynomial_l_forward<T>>);
  two(Op::kLegendreP, map2<T, legendre_polynomial_p_forward<T>>);
}

template <class T>
void add_integer(std::vector<ArrayFunction>& table, ScalarType dtype) {
  table.push_back({Op::kPow, dtype, reinterpret_cast<void*>(&map2<T, power<T>>)});
  table.push_back({Op::kGcd, dtype, reinterpret_cast<void*>(&map2<T, gcd_of<T>>)});
}

}  // namespace

const std::vector<ArrayFunction>& array_functions() {
  static const std::vector<ArrayFunction> table = [] {
    std::vector<ArrayFunction> t;
    add_float<float>(t, ScalarType::Float);
    add_float<double>(t, ScalarType::Double);
    add_integer<uint8_t>(t, ScalarType::Byte);
    add_integer<int8_t>(t, ScalarType::Char);
    add_integer<int16_t>(t, ScalarType::Short);
    add_integer<int32_t>(t, ScalarType::Int);
    add_integer<int64_t>(t, ScalarType::Long);
    return t;
  }();
  return table;
}

void half_to_float(const uint16_t* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    to[i] = static_cast<float>(c10::Half(from[i], c10::Half::from_bits()));
  }
}

void float_to_half(const float* from, uint16_t* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    to[i] = c10::Half(from[i]).x;
  }
}

}  // namespace torch_hpu::codegen
