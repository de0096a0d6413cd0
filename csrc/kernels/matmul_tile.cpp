// Products with few rows (layers at batch 1, decoding): bound by reading b, which is read where it lies, once, by columns or by rows. Threads
// share the columns of out, so that the result does not depend on their number.
#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstring>

#include "csrc/kernels/matmul.h"
#include "csrc/kernels/post_ops.h"
#include "csrc/kernels/tile.h"

namespace torch_hpu::kernels {
namespace {

constexpr int64_t kMaxRows = 64;           // beyond, blocking for caches wins
constexpr double kFlopsPerThread = 200e3;  // about the cost of waking another thread

class TileMatmul final : public MatmulKernel {
 public:
  TileMatmul(const MatmulProblem& p, TileKernel kernel)
      : p_(p), kernel_(kernel), batches_(p.batches()), direct_(p.dtype == c10::ScalarType::Float) {
    const double per_column = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.k);
    block_ = std::max<int64_t>(64, static_cast<int64_t>(kFlopsPerThread / 2 / per_column) / 64 * 64);
    if (p.m == 1 && p.b.col == 1 && p.k >= kStreamDepth) {  // long rows of b
      const int64_t share = (p.n + at::get_num_threads() - 1) / at::get_num_threads();
      block_ = std::max(block_, (share + 63) / 64 * 64);
    }
    blocks_ = (p.n + block_ - 1) / block_;
    serial_ = p.flops() < 2 * kFlopsPerThread;
  }

  void run(const MatmulPointers& pointers) const override {
    if (serial_) {
      work(pointers, 0, batches_ * blocks_);
    } else {
      at::parallel_for(0, batches_ * blocks_, 1, [&](int64_t begin, int64_t end) { work(pointers, begin, end); });
    }
  }

  const char* name() const override {
    return "tile";
  }

 private:
  void work(const MatmulPointers& pointers, int64_t begin, int64_t end) const {
    for (int64_t i = begin; i < end; ++i) {
      const ir::DimVector at = batch_at(p_, i / blocks_);
      const int64_t n0 = i % blocks_ * block_;
      block(pointers, at, n0, std::min(block_, p_.n - n0));
    }
  }

  void block(const MatmulPointers& pointers, const ir::DimVector& at, int64_t n0, int64_t n) const {
    const auto itemsize = static_cast<int64_t>(c10::elementSize(p_.dtype));
    const auto* a = static_cast<const std::byte*>(pointers.a) + batch_offset(p_.a, at) * itemsize;
    const auto* b = static_cast<const std::byte*>(pointers.b) + (batch_offset(p_.b, at) + n0 * p_.b.col) * itemsize;
    auto* out = static_cast<std::byte*>(pointers.out) + (batch_offset(p_.out, at) + n0) * itemsize;
    Tile t{p_.m, n, p_.k, nullptr, p_.a.row, p_.a.col, b, p_.b.row, p_.b.col, nullptr, p_.out.row, p_.accumulate};
    if (direct_) {
      t.a = reinterpret_cast<const float*>(a);
      t.c = reinterpret_cast<float*>(out);
      kernel_(t);
      finish(pointers, at, n0, t);
      return;
    }
    // bfloat16: the few rows of a are widened, out is rounded once at the end.
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<size_t>(p_.m * p_.k + p_.m * n));
    float* wide = scratch.data();
    const auto* narrow = reinterpret_cast<const c10::BFloat16*>(a);
    for (int64_t m = 0; m < p_.m; ++m) {
      for (int64_t k = 0; k < p_.k; ++k) {
        wide[m * p_.k + k] = static_cast<float>(narrow[m * p_.a.row + k * p_.a.col]);
      }
    }
    auto* rounded = reinterpret_cast<c10::BFloat16*>(out);
    t.a = wide;
    t.a_row = p_.k;
    t.a_col = 1;
    t.c = wide + p_.m * p_.k;
    t.c_row = n;
    if (p_.accumulate) {
      for (int64_t m = 0; m < p_.m; ++m) {
        for (int64_t j = 0; j < n; ++j) {
          t.c[m * n + j] = static_cast<float>(rounded[m * p_.out.row + j]);
        }
      }
    }
    kernel_(t);
    finish(pointers, at, n0, t);
    for (int64_t m = 0; m < p_.m; ++m) {
      for (int64_t j = 0; j < n; ++j) {
        rounded[m * p_.out.row + j] = t.c[m * n + j];
      }
    }
  }

  void finish(const MatmulPointers& pointers, const ir::DimVector& at, int64_t n0, const Tile& t) const {
    if (p_.extras.empty()) {
      return;
    }
    for (int64_t m = 0; m < t.m; ++m) {
      apply_extras(p_, pointers.extras, at, m, n0, t.c + m * t.c_row, t.n);
    }
  }

  MatmulProblem p_;
  TileKernel kernel_;
  int64_t batches_;
  bool direct_;
  int64_t block_ = 64, blocks_ = 1;  // columns of out that one task computes
  bool serial_ = true;
};

}  // namespace

std::unique_ptr<MatmulKernel> make_tile_matmul(const MatmulProblem& p) {
  const bool wide = p.dtype == c10::ScalarType::Float;
  if ((!wide && p.dtype != c10::ScalarType::BFloat16) || p.m > kMaxRows || (!wide && p.m > 4)) {
    return nullptr;
  }
  const bool rows = p.b.col == 1 || p.n == 1;
  const bool columns = (p.b.row == 1 || p.k == 1) && (p.a.col == 1 || p.k == 1 || !wide);
  if (!rows && !columns) {
    return nullptr;
  }
  return std::make_unique<TileMatmul>(p, columns ? tile_by_columns(p.dtype) : tile_by_rows(p.dtype));
}

}  // namespace torch_hpu::kernels
