#include "csrc/kernels/post_ops.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>

#include "csrc/kernels/simd.h"
#include "csrc/kernels/rows.h"

using Lanes = torch_hpu::kernels::simd::Vec<8>::f32;
extern "C" {  // SLEEF, in libtorch
__attribute__((target("avx2"))) Lanes Sleef_expf8_u10(Lanes);
__attribute__((target("avx2"))) Lanes Sleef_erff8_u10(Lanes);
__attribute__((target("avx2"))) Lanes Sleef_tanhf8_u10(Lanes);
}

namespace torch_hpu::kernels {
namespace {

constexpr double kTanhFactor = M_SQRT2 * M_2_SQRTPI * 0.5;  // of gelu's approximation

template <typename T>
T activate(PostOp::Kind kind, T x) {
  switch (kind) {
    case PostOp::Kind::kGeluErf:
      return x * T(0.5) * (1 + std::erf(x * T(M_SQRT1_2)));
    case PostOp::Kind::kGeluTanh:
      return x * T(0.5) * (1 + std::tanh(T(kTanhFactor) * (x + T(0.044715) * x * x * x)));
    case PostOp::Kind::kSilu:
      return x / (1 + std::exp(-x));
    case PostOp::Kind::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case PostOp::Kind::kTanh:
      return std::tanh(x);
    default:
      return x;
  }
}

using ActivateRow = void (*)(PostOp::Kind kind, float* row, int64_t n);

void activate_base(PostOp::Kind kind, float* row, int64_t n) {
  for (int64_t j = 0; j < n; ++j) {
    row[j] = activate(kind, row[j]);
  }
}

HPU_AVX2 void activate_avx2(PostOp::Kind kind, float* row, int64_t n) {
  float parts[8] = {};
  for (int64_t j = 0; j < n; j += 8) {
    const int64_t lanes = std::min<int64_t>(8, n - j);
    float* at = row + j;
    if (lanes < 8) {
      std::copy_n(row + j, lanes, parts);
      at = parts;
    }
    Lanes x;
    simd::load<8>(at, x);
    switch (kind) {
      case PostOp::Kind::kGeluErf:
        x = x * 0.5f * (1 + Sleef_erff8_u10(x * static_cast<float>(M_SQRT1_2)));
        break;
      case PostOp::Kind::kGeluTanh:
        x = x * 0.5f * (1 + Sleef_tanhf8_u10(static_cast<float>(kTanhFactor) * (x + 0.044715f * x * x * x)));
        break;
      case PostOp::Kind::kSilu:
        x = x / (1 + Sleef_expf8_u10(-x));
        break;
      case PostOp::Kind::kSigmoid:
        x = 1 / (1 + Sleef_expf8_u10(-x));
        break;
      case PostOp::Kind::kTanh:
        x = Sleef_tanhf8_u10(x);
        break;
      default:
        break;
    }
    simd::store<8>(at, x);
    if (lanes < 8) {
      std::copy_n(parts, lanes, row + j);
    }
  }
}

template <typename T, typename S>
void combine(bool add, T* row, int64_t n, const S* operand, int64_t stride) {
  if (add) {
    for (int64_t j = 0; j < n; ++j) {
      row[j] += static_cast<T>(operand[j * stride]);
    }
  } else {
    for (int64_t j = 0; j < n; ++j) {
      row[j] *= static_cast<T>(operand[j * stride]);
    }
  }
}

template <typename T>
void combine_any(const MatmulProblem::Extra& e, T* row, int64_t n, const void* base, int64_t offset) {
  const bool add = e.kind == PostOp::Kind::kAdd;
  const int64_t stride = e.side.col;
  switch (e.dtype) {
    case c10::ScalarType::Double:
      return combine(add, row, n, static_cast<const double*>(base) + offset, stride);
    case c10::ScalarType::BFloat16:
      return combine(add, row, n, static_cast<const c10::BFloat16*>(base) + offset, stride);
    case c10::ScalarType::Half:
      return combine(add, row, n, static_cast<const c10::Half*>(base) + offset, stride);
    default:
      return combine(add, row, n, static_cast<const float*>(base) + offset, stride);
  }
}

template <typename T>
void apply(const MatmulProblem& problem, c10::ArrayRef<const void*> pointers, c10::ArrayRef<int64_t> batch, int64_t m, int64_t n0, T* row,
           int64_t n) {
  size_t next = 0;
  for (const MatmulProblem::Extra& e : problem.extras) {
    if (e.tensor) {
      int64_t offset = m * e.side.row + n0 * e.side.col;
      for (size_t d = 0; d < batch.size(); ++d) {
        offset += batch[d] * e.side.batch[d];
      }
      combine_any(e, row, n, pointers[next++], offset);
    } else if (e.kind == PostOp::Kind::kRelu) {
      if constexpr (std::is_same_v<T, float>) {
        relu_row(row, n);
      } else {
        for (int64_t j = 0; j < n; ++j) {
          row[j] = row[j] < 0 ? T(0) : row[j];  // NaN stays
        }
      }
    } else if (e.kind == PostOp::Kind::kScale) {
      for (int64_t j = 0; j < n; ++j) {
        row[j] *= static_cast<T>(e.value);
      }
    } else if constexpr (std::is_same_v<T, float>) {
      static const ActivateRow f = simd::select<ActivateRow>(activate_base, activate_avx2, activate_avx2);
      f(e.kind, row, n);
    } else {
      for (int64_t j = 0; j < n; ++j) {
        row[j] = activate(e.kind, row[j]);
      }
    }
  }
}

}  // namespace

void apply_extras(const MatmulProblem& problem, c10::ArrayRef<const void*> pointers, c10::ArrayRef<int64_t> batch, int64_t m, int64_t n0,
                  float* row, int64_t n) {
  apply(problem, pointers, batch, m, n0, row, n);
}

void apply_extras(const MatmulProblem& problem, c10::ArrayRef<const void*> pointers, c10::ArrayRef<int64_t> batch, int64_t m, int64_t n0,
                  double* row, int64_t n) {
  apply(problem, pointers, batch, m, n0, row, n);
}

}  // namespace torch_hpu::kernels
