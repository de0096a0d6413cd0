// Register-blocked kernels. By rows: MR x NR vectors of c stay in registers while k runs; a is broadcast, so that any strides of a do.
// By columns: MR x NR accumulators of whole vectors along k, folded at the end.
#include "csrc/kernels/tile.h"

#include <algorithm>

#include "csrc/kernels/rows.h"
#include "csrc/kernels/simd.h"

namespace torch_hpu::kernels {
namespace {

using simd::Vec;

template <int W, int M, int N>
HPU_INLINE void clear(typename Vec<W>::f32 (&sums)[M][N]) {
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      sums[i][j] = typename Vec<W>::f32{};
    }
  }
}

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
  clear<W>(acc);
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
  for (; m + 6 <= t.m && m + 8 != t.m; m += 6) {  // the last eight are two times four
    rows_block<T, W, 6, NR>(t, m, n0, lanes);
  }
  for (; m + 4 <= t.m; m += 4) {
    rows_block<T, W, 4, NR>(t, m, n0, lanes);
  }
  for (; m < t.m; ++m) {
    rows_block<T, W, 1, NR>(t, m, n0, lanes);
  }
}

// One row of a: sums stay in c while KR rows of b run by, so that memory sees a few long streams instead of many short ones.
template <typename T, int W, int KR>
HPU_INLINE void rows_stream(const Tile& t, int64_t k0) {
  using F = typename Vec<W>::f32;
  const T* b = static_cast<const T*>(t.b) + k0 * t.b_row;
  float a[KR];
#pragma GCC unroll 8
  for (int r = 0; r < KR; ++r) {
    a[r] = t.a[(k0 + r) * t.a_col];
  }
  int64_t n = 0;
  for (; n + W <= t.n; n += W) {
    F sum, bv;
    simd::load<W>(t.c + n, sum);
#pragma GCC unroll 8
    for (int r = 0; r < KR; ++r) {
      simd::load<W>(b + r * t.b_row + n, bv);
      sum += bv * a[r];
    }
    simd::store<W>(t.c + n, sum);
  }
  for (; n < t.n; ++n) {
    for (int r = 0; r < KR; ++r) {
      t.c[n] += a[r] * static_cast<float>(b[r * t.b_row + n]);
    }
  }
}

template <typename T, int W, int NR>
HPU_INLINE void by_rows(const Tile& t) {
  if (t.m == 1 && t.k >= kStreamDepth) {
    if (!t.accumulate) {
      std::fill_n(t.c, t.n, 0.0f);
    }
    int64_t k = 0;
    for (; k + 4 <= t.k; k += 4) {
      rows_stream<T, W, 4>(t, k);
    }
    for (; k < t.k; ++k) {
      rows_stream<T, W, 1>(t, k);
    }
    return;
  }
  int64_t n = 0;
  if (t.m < 4) {  // more vectors side by side: enough sums to hide the latency of additions
    for (; n + 8 * W <= t.n; n += 8 * W) {
      for (int64_t m = 0; m < t.m; ++m) {
        rows_block<T, W, 1, 8>(t, m, n, W);
      }
    }
  }
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
        acc[j] += ai * static_cast<float>(b[k * t.b_row + j]);
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
  clear<W>(acc);
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
        s += a[i * t.a_row + rest] * static_cast<float>(b[j * t.b_col + rest]);
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

// MR rows of a with one column of b after the other, U sums for each: b is read as a single stream, which memory delivers half as fast again as
// four at a time.
template <typename T, int W, int MR, int U>
HPU_INLINE void dots_stream(const Tile& t) {
  for (int64_t n = 0; n < t.n; ++n) {
    typename Vec<W>::f32 acc[MR][U];
    clear<W>(acc);
    const T* b = static_cast<const T*>(t.b) + n * t.b_col;
    int64_t k = 0;
    for (; k + U * W <= t.k; k += U * W) {
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) {
        typename Vec<W>::f32 bv;
        simd::load<W>(b + k + u * W, bv);
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) {
          typename Vec<W>::f32 av;
          simd::load<W>(t.a + i * t.a_row + k + u * W, av);
          acc[i][u] += av * bv;
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int u = 1; u < U; ++u) {
        acc[i][0] += acc[i][u];
      }
      float s = simd::sum<W>(acc[i][0]);
      for (int64_t rest = k; rest < t.k; ++rest) {
        s += t.a[i * t.a_row + rest] * static_cast<float>(b[rest]);
      }
      float& c = t.c[i * t.c_row + n];
      c = t.accumulate ? c + s : s;
    }
  }
}

template <typename T, int W>
HPU_INLINE void by_columns(const Tile& t) {
  if (t.k >= kStreamDepth && t.m <= 4) {
    switch (t.m) {
      case 1:
        return dots_stream<T, W, 1, 8>(t);
      case 2:
        return dots_stream<T, W, 2, 4>(t);
      case 3:
        return dots_stream<T, W, 3, 2>(t);
      default:
        return dots_stream<T, W, 4, 2>(t);
    }
  }
  int64_t m = 0;
  if constexpr (W == 16) {  // four times four sums fit into 32 registers only
    for (; m + 4 <= t.m; m += 4) {
      dots_panel<T, W, 4>(t, m);
    }
  }
  for (; m + 2 <= t.m; m += 2) {
    dots_panel<T, W, 2>(t, m);
  }
  for (; m < t.m; ++m) {
    dots_panel<T, W, 1>(t, m);
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

// The kernel of a dtype on this host.
template <typename T>
TileKernel select_rows() {
  return simd::select<TileKernel>(rows_base<T>, rows_avx2<T>, rows_avx512<T>);
}
template <typename T>
TileKernel select_columns() {
  return simd::select<TileKernel>(columns_base<T>, columns_avx2<T>, columns_avx512<T>);
}

}  // namespace

TileKernel tile_by_rows(c10::ScalarType b) {
  switch (b) {
    case c10::ScalarType::Float:
      return select_rows<float>();
    case c10::ScalarType::BFloat16:
      return select_rows<c10::BFloat16>();
    case c10::ScalarType::Half:
      return select_rows<c10::Half>();
    default:
      return nullptr;
  }
}

TileKernel tile_by_columns(c10::ScalarType b) {
  switch (b) {
    case c10::ScalarType::Float:
      return select_columns<float>();
    case c10::ScalarType::BFloat16:
      return select_columns<c10::BFloat16>();
    case c10::ScalarType::Half:
      return select_columns<c10::Half>();
    default:
      return nullptr;
  }
}

void tile_by_panels(const Tile& t) {
  const TileKernel kernel = tile_by_rows(c10::ScalarType::Float);
  const int64_t panel = panel_width();
  Tile part = t;
  part.b_row = panel;
  for (int64_t n = 0; n < t.n; n += panel) {
    part.n = std::min(panel, t.n - n);
    part.b = static_cast<const float*>(t.b) + n * t.b_row;
    part.c = t.c + n;
    kernel(part);
  }
}

}  // namespace torch_hpu::kernels
