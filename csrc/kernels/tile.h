// Small dense products on one thread: what batch-1 layers and attention blocks are made of.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace torch_hpu::kernels {

// c[m, n] = (accumulate ? c : 0) + sum over k of a[m, k] * b[k, n]; strides in elements, c has unit column stride. a and c are float,
// b is float or bfloat16.
struct Tile {
  int64_t m, n, k;
  const float* a;
  int64_t a_row, a_col;
  const void* b;
  int64_t b_row, b_col;
  float* c;
  int64_t c_row;
  bool accumulate = false;
};

using TileKernel = void (*)(const Tile&);

// The kernel for this host, or null. By rows of b: b_col == 1. By columns of b: b_row == 1 and a_col == 1 (a matrix of dot products).
TileKernel tile_by_rows(c10::ScalarType b);
TileKernel tile_by_columns(c10::ScalarType b);

// y[i] = exp(y[i] - shift); returns the sum. Exact zero for -inf.
float exp_and_sum(float* y, int64_t n, float shift);

float row_max(const float* y, int64_t n);  // NaN may or may not be seen
void scale_row(float* y, int64_t n, float factor);

// dst[j, i] = src[i, j] for a [rows, cols] block of float or bfloat16; leading strides in elements.
void transpose_block(const void* src, c10::ScalarType dtype, int64_t rows, int64_t cols, int64_t src_row, float* dst, int64_t dst_row);

}  // namespace torch_hpu::kernels
