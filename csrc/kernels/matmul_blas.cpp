// Products by the BLAS that libtorch carries (MKL): the kernel of double, and a candidate for float.
#include <ATen/Parallel.h>

#include <limits>

#include "csrc/kernels/matmul.h"
#include "csrc/kernels/post_ops.h"

extern "C" {
void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k, const float* alpha, const float* a,
            const int* lda, const float* b, const int* ldb, const float* beta, float* c, const int* ldc);
void dgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k, const double* alpha, const double* a,
            const int* lda, const double* b, const int* ldb, const double* beta, double* c, const int* ldc);
}

namespace torch_hpu::kernels {
namespace {

void gemm(char ta, char tb, int m, int n, int k, const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  const float one = 1;
  sgemm_(&ta, &tb, &m, &n, &k, &one, a, &lda, b, &ldb, &beta, c, &ldc);
}

void gemm(char ta, char tb, int m, int n, int k, const double* a, int lda, const double* b, int ldb, double beta, double* c, int ldc) {
  const double one = 1;
  dgemm_(&ta, &tb, &m, &n, &k, &one, a, &lda, b, &ldb, &beta, c, &ldc);
}

// A matrix for a column-major library: as it lies ('N' when its rows are contiguous) with its leading stride.
struct Leading {
  char trans;
  int stride;
};

bool leading(const Side& side, int64_t rows, int64_t cols, Leading& out) {
  const bool by_rows = (side.col == 1 || cols == 1) && (side.row >= cols || rows == 1);
  const bool by_cols = (side.row == 1 || rows == 1) && (side.col >= rows || cols == 1);
  if (!by_rows && !by_cols) {
    return false;
  }
  const int64_t stride =
      by_rows ? (rows == 1 ? std::max<int64_t>(cols, 1) : side.row) : (cols == 1 ? std::max<int64_t>(rows, 1) : side.col);
  if (stride > std::numeric_limits<int>::max()) {
    return false;
  }
  out = {by_rows ? 'N' : 'T', static_cast<int>(stride)};
  return true;
}

template <typename T>
class BlasMatmul final : public MatmulKernel {
 public:
  BlasMatmul(const MatmulProblem& p, Leading a, Leading b, Leading out) : p_(p), a_(a), b_(b), out_(out) {}

  void run(const MatmulPointers& pointers) const override {
    const int64_t batches = p_.batches();
    for (int64_t i = 0; i < batches; ++i) {
      const ir::DimVector at = batch_at(p_, i);
      const T* a = static_cast<const T*>(pointers.a) + batch_offset(p_.a, at);
      const T* b = static_cast<const T*>(pointers.b) + batch_offset(p_.b, at);
      T* out = static_cast<T*>(pointers.out) + batch_offset(p_.out, at);
      // Column-major: the transposed product.
      gemm(b_.trans, a_.trans, static_cast<int>(p_.n), static_cast<int>(p_.m), static_cast<int>(p_.k), b, b_.stride, a, a_.stride,
           p_.accumulate ? T(1) : T(0), out, out_.stride);
      if (!p_.extras.empty()) {
        at::parallel_for(0, p_.m, std::max<int64_t>(1, 16384 / p_.n), [&](int64_t begin, int64_t end) {
          for (int64_t m = begin; m < end; ++m) {
            apply_extras(p_, pointers.extras, at, m, 0, out + m * p_.out.row, p_.n);
          }
        });
      }
    }
  }

  const char* name() const override {
    return "blas";
  }

 private:
  MatmulProblem p_;
  Leading a_, b_, out_;
};

}  // namespace

std::unique_ptr<MatmulKernel> make_blas_matmul(const MatmulProblem& p) {
  Leading a{}, b{}, out{};
  constexpr int64_t kMax = std::numeric_limits<int>::max();
  if (p.m > kMax || p.n > kMax || p.k > kMax || !leading(p.a, p.m, p.k, a) || !leading(p.b, p.k, p.n, b) ||
      !leading(p.out, p.m, p.n, out) || out.trans != 'N') {
    return nullptr;
  }
  if (p.dtype == c10::ScalarType::Float) {
    return std::make_unique<BlasMatmul<float>>(p, a, b, out);
  }
  if (p.dtype == c10::ScalarType::Double) {
    return std::make_unique<BlasMatmul<double>>(p, a, b, out);
  }
  return nullptr;
}

}  // namespace torch_hpu::kernels
