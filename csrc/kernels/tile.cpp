// Register-blocked kernels. By rows: MR x NR vectors of c stay in registers while k runs; a is broadcast, so that any strides of a do.
// By columns: MR x NR accumulators of whole vectors along k, folded at the end.
#include "csrc/kernels/tile.h"

#include <algorithm>

#include "csrc/kernels/simd.h"

namespace torch_hpu::kernels {
namespace {

using simd::Vec;

// The last `lanes` columns of vector r end up in c; the others were stored before.
template <int W>
HPU_INLINE void store_columns(float* c, const typename Vec<W>::f32& acc, int64_t lanes, bool accumulate) {
  if (lanes == W) {
    typename Vec<W>::f32 v = acc;
    if (accumulate) {
      typename Vec<W>::f32 old;
      simd::load<W>(c, old);
      v += old;
    }
    simd::store<W>(c, v);
    return;
  }
  float parts[W];
  simd::store<W>(parts, acc);
  for (int64_t j = W - lanes; j < W; ++j) {
    c[j] = accumulate ? c[j] + parts[j] : parts[j];
  }
}

// MR rows by NR vectors at (m0, n0); `lanes`: how many columns of the (single) vector count.
template <typename T, int W, int MR, int NR>
HPU_INLINE void rows_block(const Tile& t, int64_t m0, int64_t n0, int64_t lanes) {
  typename Vec<W>::f32 acc[MR][NR];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) {
      acc[i][j] = typename Vec<W>::f32{};
    }
  }
  const float* a = t.a + m0 * t.a_row;
  const T* b = static_cast<const T*>(t.b) + n0;
  for (int64_t k = 0; k < t.k; ++k, a += t.a_col, b += t.b_row) {
    typename Vec<W>::f32 bv[NR];
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) {
      simd::load<W>(b + j * W, bv[j]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      const float ai = a[i * t.a_row];
#pragma GCC unroll 8
      for (int j = 0; j < NR; ++j) {
        acc[i][j] += bv[j] * ai;
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) {
      store_columns<W>(t.c + (m0 + i) * t.c_row + n0 + j * W, acc[i][j], NR == 1 ? lanes : W, t.accumulate);
    }
  }
}

template <typename T, int W, int NR>
HPU_INLINE void rows_panel(const Tile& t, int64_t n0, int64_t lanes) {
  int64_t m = 0;
  for (; m + 6 <= t.m; m += 6) {
    rows_block<T, W, 6, NR>(t, m, n0, lanes);
  }
  for (; m + 4 <= t.m; m += 4) {
    rows_block<T, W, 4, NR>(t, m, n0, lanes);
  }
  for (; m < t.m; ++m) {
    rows_block<T, W, 1, NR>(t, m, n0, lanes);
  }
}

template <typename T, int W, int NR>
HPU_INLINE void by_rows(const Tile& t) {
  int64_t n = 0;
  for (; n + NR * W <= t.n; n += NR * W) {
    rows_panel<T, W, NR>(t, n, W);
  }
  for (; n + W <= t.n; n += W) {
    rows_panel<T, W, 1>(t, n, W);
  }
  if (n == t.n) {
    return;
  }
  if (t.n >= W) {  // the last vector overlaps the one before
    rows_panel<T, W, 1>(t, t.n - W, t.n - n);
    return;
  }
  const T* b = static_cast<const T*>(t.b);
  for (int64_t m = 0; m < t.m; ++m) {
    float acc[W] = {};
    for (int64_t k = 0; k < t.k; ++k) {
      const float ai = t.a[m * t.a_row + k * t.a_col];
      for (int64_t j = 0; j < t.n; ++j) {
        acc[j] += ai * simd::widen(b[k * t.b_row + j]);
      }
    }
    for (int64_t j = 0; j < t.n; ++j) {
      float& c = t.c[m * t.c_row + j];
      c = t.accumulate ? c + acc[j] : acc[j];
    }
  }
}

template <typename T, int W, int MR, int NR>  // NR: 4 or 1
HPU_INLINE void dots_block(const Tile& t, int64_t m0, int64_t n0) {
  typename Vec<W>::f32 acc[MR][NR];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) {
      acc[i][j] = typename Vec<W>::f32{};
    }
  }
  const float* a = t.a + m0 * t.a_row;
  const T* b = static_cast<const T*>(t.b) + n0 * t.b_col;
  int64_t k = 0;
  for (; k + W <= t.k; k += W) {
    typename Vec<W>::f32 bv[NR];
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) {
      simd::load<W>(b + j * t.b_col + k, bv[j]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      typename Vec<W>::f32 av;
      simd::load<W>(a + i * t.a_row + k, av);
#pragma GCC unroll 8
      for (int j = 0; j < NR; ++j) {
        acc[i][j] += av * bv[j];
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
    Vec<4>::f32 sums{};
    if constexpr (NR == 4) {
      simd::sum4<W>(acc[i], sums);
    } else {
      sums[0] = simd::sum<W>(acc[i][0]);
    }
#pragma GCC unroll 8
    for (int j = 0; j < NR; ++j) {
      float s = sums[j];
      for (int64_t rest = k; rest < t.k; ++rest) {
        s += a[i * t.a_row + rest] * simd::widen(b[j * t.b_col + rest]);
      }
      float& c = t.c[(m0 + i) * t.c_row + n0 + j];
      c = t.accumulate ? c + s : s;
    }
  }
}

template <typename T, int W, int MR>
HPU_INLINE void dots_panel(const Tile& t, int64_t m0) {
  int64_t n = 0;
  for (; n + 4 <= t.n; n += 4) {
    dots_block<T, W, MR, 4>(t, m0, n);
  }
  for (; n < t.n; ++n) {
    dots_block<T, W, MR, 1>(t, m0, n);
  }
}

template <typename T, int W>
HPU_INLINE void by_columns(const Tile& t) {
  int64_t m = 0;
  for (; m + 4 <= t.m; m += 4) {
    dots_panel<T, W, 4>(t, m);
  }
  for (; m + 2 <= t.m; m += 2) {
    dots_panel<T, W, 2>(t, m);
  }
  for (; m < t.m; ++m) {
    dots_panel<T, W, 1>(t, m);
  }
}

template <int W>
HPU_INLINE float exp_sum(float* y, int64_t n, float shift) {
  typename Vec<W>::f32 total{};
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    typename Vec<W>::f32 v;
    simd::load<W>(y + i, v);
    v -= shift;
    simd::exp<W>(v);
    simd::store<W>(y + i, v);
    total += v;
  }
  float rest = 0;
  if (i < n) {
    float parts[W] = {};
    std::copy(y + i, y + n, parts);
    typename Vec<W>::f32 v;
    simd::load<W>(parts, v);
    v -= shift;
    simd::exp<W>(v);
    simd::store<W>(parts, v);
    for (int64_t j = i; j < n; ++j) {
      y[j] = parts[j - i];
      rest += parts[j - i];
    }
  }
  return simd::sum<W>(total) + rest;
}

template <int W>
HPU_INLINE float max_of(const float* y, int64_t n) {
  float best = -__builtin_inff();
  int64_t i = 0;
  if (n >= W) {
    typename Vec<W>::f32 m;
    simd::load<W>(y, m);
    for (i = W; i + W <= n; i += W) {
      typename Vec<W>::f32 v;
      simd::load<W>(y + i, v);
      m = v > m ? v : m;
    }
    for (int j = 0; j < W; ++j) {
      best = m[j] > best ? m[j] : best;
    }
  }
  for (; i < n; ++i) {
    best = y[i] > best ? y[i] : best;
  }
  return best;
}

template <int W>
HPU_INLINE void scale(float* y, int64_t n, float factor) {
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    typename Vec<W>::f32 v;
    simd::load<W>(y + i, v);
    simd::store<W>(y + i, v * factor);
  }
  for (; i < n; ++i) {
    y[i] *= factor;
  }
}

template <typename T>
void rows_base(const Tile& t) {
  by_rows<T, 4, 2>(t);
}
template <typename T>
HPU_AVX2 void rows_avx2(const Tile& t) {
  by_rows<T, 8, 2>(t);
}
template <typename T>
HPU_AVX512 void rows_avx512(const Tile& t) {
  by_rows<T, 16, 4>(t);
}
template <typename T>
void columns_base(const Tile& t) {
  by_columns<T, 4>(t);
}
template <typename T>
HPU_AVX2 void columns_avx2(const Tile& t) {
  by_columns<T, 8>(t);
}
template <typename T>
HPU_AVX512 void columns_avx512(const Tile& t) {
  by_columns<T, 16>(t);
}

float exp_sum_base(float* y, int64_t n, float shift) {
  return exp_sum<4>(y, n, shift);
}
HPU_AVX2 float exp_sum_avx2(float* y, int64_t n, float shift) {
  return exp_sum<8>(y, n, shift);
}
HPU_AVX512 float exp_sum_avx512(float* y, int64_t n, float shift) {
  return exp_sum<16>(y, n, shift);
}

float max_base(const float* y, int64_t n) {
  return max_of<4>(y, n);
}
HPU_AVX2 float max_avx2(const float* y, int64_t n) {
  return max_of<8>(y, n);
}
HPU_AVX512 float max_avx512(const float* y, int64_t n) {
  return max_of<16>(y, n);
}

void scale_base(float* y, int64_t n, float factor) {
  scale<4>(y, n, factor);
}
HPU_AVX2 void scale_avx2(float* y, int64_t n, float factor) {
  scale<8>(y, n, factor);
}
HPU_AVX512 void scale_avx512(float* y, int64_t n, float factor) {
  scale<16>(y, n, factor);
}

template <typename T>
void transpose(const T* src, int64_t rows, int64_t cols, int64_t src_row, float* dst, int64_t dst_row) {
  constexpr int64_t kBlock = 16;
  for (int64_t i0 = 0; i0 < rows; i0 += kBlock) {
    const int64_t i1 = std::min(rows, i0 + kBlock);
    for (int64_t j = 0; j < cols; ++j) {
      for (int64_t i = i0; i < i1; ++i) {
        dst[j * dst_row + i] = simd::widen(src[i * src_row + j]);
      }
    }
  }
}

}  // namespace

TileKernel tile_by_rows(c10::ScalarType b) {
  if (b == c10::ScalarType::Float) {
    static const TileKernel f = simd::select<TileKernel>(rows_base<float>, rows_avx2<float>, rows_avx512<float>);
    return f;
  }
  if (b == c10::ScalarType::BFloat16) {
    static const TileKernel f = simd::select<TileKernel>(rows_base<uint16_t>, rows_avx2<uint16_t>, rows_avx512<uint16_t>);
    return f;
  }
  return nullptr;
}

TileKernel tile_by_columns(c10::ScalarType b) {
  if (b == c10::ScalarType::Float) {
    static const TileKernel f = simd::select<TileKernel>(columns_base<float>, columns_avx2<float>, columns_avx512<float>);
    return f;
  }
  if (b == c10::ScalarType::BFloat16) {
    static const TileKernel f = simd::select<TileKernel>(columns_base<uint16_t>, columns_avx2<uint16_t>, columns_avx512<uint16_t>);
    return f;
  }
  return nullptr;
}

float exp_and_sum(float* y, int64_t n, float shift) {
  using F = float (*)(float*, int64_t, float);
  static const F f = simd::select<F>(exp_sum_base, exp_sum_avx2, exp_sum_avx512);
  return f(y, n, shift);
}

float row_max(const float* y, int64_t n) {
  using F = float (*)(const float*, int64_t);
  static const F f = simd::select<F>(max_base, max_avx2, max_avx512);
  return f(y, n);
}

void scale_row(float* y, int64_t n, float factor) {
  using F = void (*)(float*, int64_t, float);
  static const F f = simd::select<F>(scale_base, scale_avx2, scale_avx512);
  f(y, n, factor);
}

void transpose_block(const void* src, c10::ScalarType dtype, int64_t rows, int64_t cols, int64_t src_row, float* dst, int64_t dst_row) {
  if (dtype == c10::ScalarType::Float) {
    transpose(static_cast<const float*>(src), rows, cols, src_row, dst, dst_row);
  } else {
    transpose(static_cast<const uint16_t*>(src), rows, cols, src_row, dst, dst_row);
  }
}

}  // namespace torch_hpu::kernels
