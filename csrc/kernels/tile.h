// Small dense products on one thread: what batch-1 layers and attention blocks are made of.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace torch_hpu::kernels {

// c[m, n] = (accumulate ? c : 0) + sum over k of a[m, k] * b[k, n]; strides in elements, c has unit column stride. a and c are float,
// b is float, bfloat16 or half.
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

// Inner dim from which few rows are multiplied in the order in which memory delivers b fastest.
inline constexpr int64_t kStreamDepth = 256;

// The kernel for this host, or null. By rows of b: b_col == 1. By columns of b: b_row == 1 and a_col == 1 (a matrix of dot products).
TileKernel tile_by_rows(c10::ScalarType b);
TileKernel tile_by_columns(c10::ScalarType b);

// By rows, for b in float panels of depth b_row (rows.h, Note [Panels]). n is a multiple of vector_width(): columns that fill up are computed too.
void tile_by_panels(const Tile& t);

}  // namespace torch_hpu::kernels
