// Operations on rows of floats: softmax's parts, conversion and packing between the products of attention, relu behind other products.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace torch_hpu::kernels {

// y[i] = exp(y[i] - shift), which must not exceed e^88; returns the sum. Exact zero for -inf.
float exp_and_sum(float* y, int64_t n, float shift);

float row_max(const float* y, int64_t n);  // NaN may or may not be seen
void scale_row(float* y, int64_t n, float factor);
void relu_row(float* y, int64_t n);  // NaN stays
float dot_rows(const float* a, const float* b, int64_t n);

// gradient[i] = probability[i] * (gradient[i] - mean) * factor: softmax backward.
void softmax_gradient(const float* probability, float* gradient, int64_t n, float mean, float factor);

// n consecutive elements of float, bfloat16 or half as float, times factor.
void widen(const void* from, c10::ScalarType dtype, int64_t n, float factor, float* to);
// n floats times factor, rounded to dtype.
void narrow(const float* from, int64_t n, float factor, void* to, c10::ScalarType dtype);

// Note [Panels]
// A matrix of `depth` rows packed for products that run through its rows: panels of panel_width() columns, in each of them row after row;
// columns are filled up with zeros to the next multiple of vector_width(). Panel p begins at p * panel_width() * depth.
int64_t vector_width();
int64_t panel_width();
inline int64_t divide_up(int64_t n, int64_t by) {
  return (n + by - 1) / by;
}
inline int64_t round_up(int64_t n, int64_t multiple) {
  return divide_up(n, multiple) * multiple;
}
// The columns of panels that hold n columns of a matrix.
inline int64_t panel_columns(int64_t n) {
  return round_up(n, panel_width());
}

// src [rows, cols] as panels of depth `rows`. src: float, bfloat16 or half, row stride in elements, unit column stride.
void pack(const void* src, c10::ScalarType dtype, int64_t rows, int64_t cols, int64_t src_row, float* panels);
// Its transpose [cols, rows] as panels of depth `cols`.
void pack_transposed(const void* src, c10::ScalarType dtype, int64_t rows, int64_t cols, int64_t src_row, float* panels);

}  // namespace torch_hpu::kernels
