// Matrix products: one problem in canonical form, several kernels that can solve it, one of them chosen when the step is made.
#pragma once

#include <memory>
#include <string>

#include "csrc/kernels/step.h"

namespace torch_hpu::kernels {

// One matrix of a batched product: element strides per batch dim, row and column. Stride 0 broadcasts.
struct Side {
  ir::DimVector batch;
  int64_t row = 0, col = 0;
};

// out[b, m, n] = f(sum over k of a[b, m, k] * b[b, k, n]): batch dims are merged as far as strides allow, out.col is 1.
struct MatmulProblem {
  struct Extra {  // the bias (first, an addition) and the post-ops, in order
    PostOp::Kind kind = PostOp::Kind::kAdd;
    double value = 1;     // kScale
    bool tensor = false;  // reads `side` of its own pointer
    c10::ScalarType dtype = c10::ScalarType::Float;
    Side side;
  };
  c10::ScalarType dtype = c10::ScalarType::Float;  // of a, b and out
  ir::DimVector batch;
  int64_t m = 1, n = 1, k = 1;
  Side a, b, out;
  std::vector<Extra> extras;
  bool accumulate = false;  // out += instead of out =

  int64_t batches() const;
  double flops() const {
    return 2.0 * static_cast<double>(batches()) * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  }
  std::string key() const;  // equal problems have equal keys
};

// A kMatmul call in canonical form.
struct CanonicalMatmul {
  MatmulProblem problem;
  bool transposed = false;  // a and b have changed places
};
CanonicalMatmul canonical(const LibraryCall& call);  // matmul_problem.cpp

// Coordinates of the i-th batch, and where a side's matrix of it begins (elements).
inline ir::DimVector batch_at(const MatmulProblem& p, int64_t i) {
  ir::DimVector at(p.batch.size(), 0);
  for (size_t d = at.size(); d-- > 0;) {
    at[d] = i % p.batch[d];
    i /= p.batch[d];
  }
  return at;
}
inline int64_t batch_offset(const Side& side, const ir::DimVector& at) {
  int64_t o = 0;
  for (size_t d = 0; d < at.size(); ++d) {
    o += at[d] * side.batch[d];
  }
  return o;
}

struct MatmulPointers {
  const void* a = nullptr;
  const void* b = nullptr;
  void* out = nullptr;
  const void* packed_b = nullptr;           // b as the kernel's pack() made it, or null
  c10::SmallVector<const void*, 4> extras;  // one per tensor extra, in order
};

// Whether oneDNN has fast kernels for the tensors of the extras as they lie: those that move along all of out's dims and lie as out does, and those with
// a value per column, or one value. It ignores the strides of the latter, so that they have to be dense.
bool onednn_reads_extras(const MatmulProblem& p);

class MatmulKernel {
 public:
  virtual ~MatmulKernel() = default;
  virtual void run(const MatmulPointers& p) const = 0;  // any number of threads at a time
  // Makes what the first run without a packed copy would have to make. False: it cannot be made.
  virtual bool prepare() const {
    return true;
  }
  virtual const char* name() const = 0;

  // Kernels that like b in a layout of their own: its size (0: as it is), and the way there.
  virtual size_t packed_bytes() const {
    return 0;
  }
  virtual void pack(const void* /*b*/, void* /*packed*/) const {}
};

// Each returns null when it cannot solve the problem.
std::unique_ptr<MatmulKernel> make_onednn_matmul(const MatmulProblem& problem, bool pack_b);  // onednn_matmul.cpp
std::unique_ptr<MatmulKernel> make_tile_matmul(const MatmulProblem& problem);                 // matmul_tile.cpp
std::unique_ptr<MatmulKernel> make_blas_matmul(const MatmulProblem& problem);                 // matmul_blas.cpp

// The fastest of the kernels, found by timing where the problem is small enough for that to be cheap; equal problems are timed once
// and share it. constant_b: b may be packed. Null: none can.
std::shared_ptr<const MatmulKernel> choose_matmul(const MatmulProblem& problem, bool constant_b);  // matmul_choice.cpp

// Factor i of a call (alpha, beta) in a run; 1 where the call has none.
double factor(const LibraryCall& call, const Invocation& invocation, size_t i);  // matmul.cpp

// The step of one product, for a step that is made of several: run() counts, execute() does not.
class MatmulStep final : public LibraryStep {  // matmul.cpp
 public:
  MatmulStep(const LibraryCall& call, const Constants& constants);
  void execute(const Invocation& invocation) const override;

 private:
  bool accumulates() const;
  void execute_generally(const Invocation& invocation, double alpha, double beta) const;

  LibraryCall call_;
  bool empty_ = false;
  bool transposed_ = false;
  std::shared_ptr<const MatmulKernel> kernel_;  // null: always by ATen
  uint32_t packed_layout_ = 0;
};

}  // namespace torch_hpu::kernels
