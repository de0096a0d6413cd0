#include "csrc/kernels/rows.h"

#include <algorithm>
#include <utility>

#include "csrc/kernels/simd.h"

namespace torch_hpu::kernels {
namespace {

using simd::Vec;

constexpr int64_t kVectorsPerPanel = 2;  // with six rows, what the registers of AVX2 hold; more rows of more vectors do not help AVX-512

// f(pointer to the elements), by dtype.
template <typename F>
HPU_INLINE void with_elements(const void* p, c10::ScalarType dtype, F f) {
  if (dtype == c10::ScalarType::Float) {
    f(static_cast<const float*>(p));
  } else if (dtype == c10::ScalarType::BFloat16) {
    f(static_cast<const c10::BFloat16*>(p));
  } else {
    f(static_cast<const c10::Half*>(p));
  }
}

// The first n < W elements of a vector; the others are `fill`.
template <int W, typename T>
HPU_INLINE void load_some(const T* p, int64_t n, T fill, typename Vec<W>::f32& v) {
  T parts[W];
  for (int j = 0; j < W; ++j) {
    parts[j] = j < n ? p[j] : fill;
  }
  simd::load<W>(parts, v);
}

template <int W>
HPU_INLINE float exp_and_sum_in(float* y, int64_t n, float shift) {
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
  if (i < n) {
    typename Vec<W>::f32 v;
    load_some<W>(y + i, n - i, -__builtin_inff(), v);
    v -= shift;
    simd::exp<W>(v);
    float parts[W];
    simd::store<W>(parts, v);
    std::copy_n(parts, n - i, y + i);
    total += v;
  }
  return simd::sum<W>(total);
}

template <int W>
HPU_INLINE float row_max_in(const float* y, int64_t n) {
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
HPU_INLINE void scale_row_in(float* y, int64_t n, float factor) {
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

template <int W>
HPU_INLINE void relu_row_in(float* y, int64_t n) {
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    typename Vec<W>::f32 v;
    simd::load<W>(y + i, v);
    simd::store<W>(y + i, v < 0 ? typename Vec<W>::f32{} : v);
  }
  for (; i < n; ++i) {
    y[i] = y[i] < 0 ? 0 : y[i];
  }
}

template <int W>
HPU_INLINE float dot_rows_in(const float* a, const float* b, int64_t n) {
  typename Vec<W>::f32 total{};
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    typename Vec<W>::f32 x, y;
    simd::load<W>(a + i, x);
    simd::load<W>(b + i, y);
    total += x * y;
  }
  float rest = 0;
  for (; i < n; ++i) {
    rest += a[i] * b[i];
  }
  return simd::sum<W>(total) + rest;
}

template <int W>
HPU_INLINE void softmax_gradient_in(const float* probability, float* gradient, int64_t n, float mean, float factor) {
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    typename Vec<W>::f32 p, g;
    simd::load<W>(probability + i, p);
    simd::load<W>(gradient + i, g);
    simd::store<W>(gradient + i, p * (g - mean) * factor);
  }
  for (; i < n; ++i) {
    gradient[i] = probability[i] * (gradient[i] - mean) * factor;
  }
}

template <int W>
HPU_INLINE void widen_in(const void* from, c10::ScalarType dtype, int64_t n, float factor, float* to) {
  with_elements(from, dtype, [&](const auto* p) HPU_INLINE_LAMBDA {
    int64_t i = 0;
    for (; i + W <= n; i += W) {
      typename Vec<W>::f32 v;
      simd::load<W>(p + i, v);
      simd::store<W>(to + i, v * factor);
    }
    for (; i < n; ++i) {
      to[i] = static_cast<float>(p[i]) * factor;
    }
  });
}

template <typename T>
HPU_INLINE void round_all(const float* from, int64_t n, float factor, void* to) {
  for (int64_t i = 0; i < n; ++i) {
    static_cast<T*>(to)[i] = static_cast<T>(from[i] * factor);
  }
}

template <int W>
HPU_INLINE void narrow_in(const float* from, int64_t n, float factor, void* to, c10::ScalarType dtype) {
  if (dtype == c10::ScalarType::Float) {
    widen_in<W>(from, dtype, n, factor, static_cast<float*>(to));
  } else if (dtype == c10::ScalarType::BFloat16) {
    round_all<c10::BFloat16>(from, n, factor, to);
  } else {
    round_all<c10::Half>(from, n, factor, to);
  }
}

template <int W>
HPU_INLINE int64_t vector_width_in() {
  return W;
}

template <int W>
HPU_INLINE void pack_in(const void* src, c10::ScalarType dtype, int64_t rows, int64_t cols, int64_t src_row, float* panels) {
  constexpr int64_t kPanel = kVectorsPerPanel * W;
  with_elements(src, dtype, [&](const auto* p) HPU_INLINE_LAMBDA {
    using T = std::remove_cvref_t<decltype(*p)>;
    for (int64_t j = 0; j < cols; j += W) {
      float* to = panels + j / kPanel * kPanel * rows + j % kPanel;
      const int64_t n = std::min<int64_t>(W, cols - j);
      for (int64_t i = 0; i < rows; ++i, to += kPanel) {
        typename Vec<W>::f32 v;
        if (n == W) {
          simd::load<W>(p + i * src_row + j, v);
        } else {
          load_some<W>(p + i * src_row + j, n, T(0.0f), v);
        }
        simd::store<W>(to, v);
      }
    }
  });
}

// Elements first, first + W, first + 1, first + W + 1 ... of two vectors.
template <int W, int First, int... I>
HPU_INLINE void interleave(const typename Vec<W>::f32& a, const typename Vec<W>::f32& b, typename Vec<W>::f32& out,
                           std::integer_sequence<int, I...>) {
  out = __builtin_shufflevector(a, b, (First + I / 2 + I % 2 * W)...);
}

// W vectors become the columns of the matrix that they are the rows of: log2(W) perfect shuffles.
template <int W>
HPU_INLINE void transpose(typename Vec<W>::f32 (&v)[W]) {
  constexpr auto lanes = std::make_integer_sequence<int, W>();
#pragma GCC unroll 4
  for (int step = 1; step < W; step *= 2) {
    typename Vec<W>::f32 t[W];
#pragma GCC unroll 8
    for (int i = 0; i < W / 2; ++i) {
      interleave<W, 0>(v[i], v[i + W / 2], t[2 * i], lanes);
      interleave<W, W / 2>(v[i], v[i + W / 2], t[2 * i + 1], lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; ++i) {
      v[i] = t[i];
    }
  }
}

template <int W>
HPU_INLINE void pack_transposed_in(const void* src, c10::ScalarType dtype, int64_t rows, int64_t cols, int64_t src_row, float* panels) {
  constexpr int64_t kPanel = kVectorsPerPanel * W;
  with_elements(src, dtype, [&](const auto* p) HPU_INLINE_LAMBDA {
    for (int64_t i = 0; i < rows; i += W) {
      float* to = panels + i / kPanel * kPanel * cols + i % kPanel;
      const int64_t n = std::min<int64_t>(W, rows - i);
      int64_t j = 0;
      for (; j + W <= cols; j += W) {
        typename Vec<W>::f32 block[W];
#pragma GCC unroll 16
        for (int k = 0; k < W; ++k) {
          block[k] = typename Vec<W>::f32{};
          if (k < n) {
            simd::load<W>(p + (i + k) * src_row + j, block[k]);
          }
        }
        transpose<W>(block);
#pragma GCC unroll 16
        for (int k = 0; k < W; ++k) {
          simd::store<W>(to + (j + k) * kPanel, block[k]);
        }
      }
      for (; j < cols; ++j) {
        for (int64_t k = 0; k < W; ++k) {
          to[j * kPanel + k] = k < n ? static_cast<float>(p[(i + k) * src_row + j]) : 0;
        }
      }
    }
  });
}

}  // namespace

HPU_DISPATCH(float, exp_and_sum, (float* y, int64_t n, float shift), (y, n, shift))
HPU_DISPATCH(float, row_max, (const float* y, int64_t n), (y, n))
HPU_DISPATCH(void, scale_row, (float* y, int64_t n, float factor), (y, n, factor))
HPU_DISPATCH(void, relu_row, (float* y, int64_t n), (y, n))
HPU_DISPATCH(float, dot_rows, (const float* a, const float* b, int64_t n), (a, b, n))
HPU_DISPATCH(void, softmax_gradient, (const float* probability, float* gradient, int64_t n, float mean, float factor),
             (probability, gradient, n, mean, factor))
HPU_DISPATCH(void, widen, (const void* from, c10::ScalarType dtype, int64_t n, float factor, float* to), (from, dtype, n, factor, to))
HPU_DISPATCH(void, narrow, (const float* from, int64_t n, float factor, void* to, c10::ScalarType dtype), (from, n, factor, to, dtype))
HPU_DISPATCH(int64_t, vector_width, (), ())
HPU_DISPATCH(void, pack, (const void* src, c10::ScalarType dtype, int64_t rows, int64_t cols, int64_t src_row, float* panels),
             (src, dtype, rows, cols, src_row, panels))
HPU_DISPATCH(void, pack_transposed, (const void* src, c10::ScalarType dtype, int64_t rows, int64_t cols, int64_t src_row, float* panels),
             (src, dtype, rows, cols, src_row, panels))

int64_t panel_width() {
  return kVectorsPerPanel * vector_width();
}

}  // namespace torch_hpu::kernels
