// One source for several instruction sets: kernel bodies are always-inline templates over a vector width, and each is instantiated
// inside functions that carry a target attribute. The build flags stay those of the oldest machine; the host decides at run time.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#define HPU_INLINE inline __attribute__((always_inline))
#define HPU_INLINE_LAMBDA __attribute__((always_inline))
#define HPU_AVX2 __attribute__((target("avx2,fma"), optimize("fp-contract=fast")))
#define HPU_AVX512 \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512"), optimize("fp-contract=fast")))

namespace torch_hpu::kernels::simd {

enum class Isa : uint8_t { kBase, kAvx2, kAvx512 };

inline Isa detected_isa() {
  static const Isa isa = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                                 __builtin_cpu_supports("avx512vl")
                             ? Isa::kAvx512
                         : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? Isa::kAvx2
                                                                                           : Isa::kBase;
  return isa;
}

inline std::atomic<Isa> isa_limit{Isa::kAvx512};

// The level that is used: what the host has, unless a test asks for less.
inline Isa isa() {
  return std::min(detected_isa(), isa_limit.load(std::memory_order_relaxed));
}

// While it lives, the process uses no level above `limit`. Steps must be made and run under the same limit.
class IsaLimit {
 public:
  explicit IsaLimit(Isa limit) : before_(isa_limit.exchange(limit)) {}
  ~IsaLimit() {
    isa_limit = before_;
  }
  IsaLimit(const IsaLimit&) = delete;
  IsaLimit& operator=(const IsaLimit&) = delete;

 private:
  Isa before_;
};

// The instantiation for this host.
template <typename F>
F select(F base, F avx2, F avx512) {
  const Isa level = isa();
  return level == Isa::kAvx512 ? avx512 : level == Isa::kAvx2 ? avx2 : base;
}

// Defines `result name parameters` from the always-inline template name##_in<W>: one instantiation per level.
#define HPU_DISPATCH(result, name, parameters, arguments)                      \
  static result name##_base parameters {                                       \
    return name##_in<4> arguments;                                             \
  }                                                                            \
  HPU_AVX2 static result name##_avx2 parameters {                              \
    return name##_in<8> arguments;                                             \
  }                                                                            \
  HPU_AVX512 static result name##_avx512 parameters {                          \
    return name##_in<16> arguments;                                            \
  }                                                                            \
  result name parameters {                                                     \
    return simd::select(&name##_base, &name##_avx2, &name##_avx512) arguments; \
  }

template <int W>
struct Vec {
  typedef float f32 __attribute__((vector_size(W * 4)));
  typedef int32_t i32 __attribute__((vector_size(W * 4)));
  typedef uint16_t u16 __attribute__((vector_size(W * 2)));
  typedef float f32_any __attribute__((vector_size(W * 4), aligned(4), may_alias));  // in memory, any alignment
  typedef uint16_t u16_any __attribute__((vector_size(W * 2), aligned(2), may_alias));
};

template <int W>
HPU_INLINE void load(const float* p, typename Vec<W>::f32& v) {
  v = *reinterpret_cast<const typename Vec<W>::f32_any*>(p);
}

// bfloat16 is the upper half of a float.
template <int W>
HPU_INLINE void load(const c10::BFloat16* p, typename Vec<W>::f32& v) {
  const typename Vec<W>::u16 h = *reinterpret_cast<const typename Vec<W>::u16_any*>(p);
  v = reinterpret_cast<typename Vec<W>::f32>(__builtin_convertvector(h, typename Vec<W>::i32) << 16);
}

// Exponent and mantissa of a half moved to their places in a float, which is then 2^112 too small; infinities and NaN have a place of
// their own.
template <int W>
HPU_INLINE void load(const c10::Half* p, typename Vec<W>::f32& v) {
  using F = typename Vec<W>::f32;
  using I = typename Vec<W>::i32;
  const typename Vec<W>::u16 h = *reinterpret_cast<const typename Vec<W>::u16_any*>(p);
  const I bits = __builtin_convertvector(h, I), magnitude = bits & 0x7fff;
  const F finite = reinterpret_cast<F>(magnitude << 13) * 0x1p112f;
  const I special = (magnitude << 13) | 0x7f800000;
  v = reinterpret_cast<F>((magnitude >= 0x7c00 ? special : reinterpret_cast<I>(finite)) | (bits & 0x8000) << 16);
}

template <int W>
HPU_INLINE void store(float* p, const typename Vec<W>::f32& v) {
  *reinterpret_cast<typename Vec<W>::f32_any*>(p) = v;
}

// The halves of a vector added, down to four lanes.
HPU_INLINE void fold(const Vec<4>::f32& v, Vec<4>::f32& out) {
  out = v;
}
HPU_INLINE void fold(const Vec<8>::f32& v, Vec<4>::f32& out) {
  out = __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
}
HPU_INLINE void fold(const Vec<16>::f32& v, Vec<4>::f32& out) {
  fold(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15), out);
}

template <int W>
HPU_INLINE float sum(const typename Vec<W>::f32& v) {
  Vec<4>::f32 q;
  fold(v, q);
  return (q[0] + q[1]) + (q[2] + q[3]);
}

// The sums of four vectors, as one.
template <int W>
HPU_INLINE void sum4(const typename Vec<W>::f32 (&v)[4], Vec<4>::f32& out) {
  Vec<4>::f32 a, b, c, d;
  fold(v[0], a);
  fold(v[1], b);
  fold(v[2], c);
  fold(v[3], d);
  const Vec<4>::f32 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Vec<4>::f32 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  out = __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

// e^x to about 1 ulp for x <= 88, which is all that softmax asks for; 0 below the smallest normal number, NaN for NaN.
template <int W>
HPU_INLINE void exp(typename Vec<W>::f32& x) {
  using F = typename Vec<W>::f32;
  using I = typename Vec<W>::i32;
  const I tiny = x < -87.33654f;
  const F y = tiny ? F{} - 87.33654f : x;
  const F shifted = y * 1.44269504f + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer n, which stands in the low bits
  const F n = shifted - 12582912.0f;
  F r = y - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  F p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  p = p * reinterpret_cast<F>((reinterpret_cast<I>(shifted) << 23) + (127 << 23));  // 2^n
  x = reinterpret_cast<F>(reinterpret_cast<I>(p) & ~tiny);
}

}  // namespace torch_hpu::kernels::simd
