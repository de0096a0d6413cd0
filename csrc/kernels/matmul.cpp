// kMatmul: brings a call into canonical form (merged batch dims, rows of out contiguous), runs the chosen kernel. What no kernel takes (odd
// strides, scale factors other than 1, an empty inner dimension) is done by ATen on tensors over the operands.
#include "csrc/kernels/matmul.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/silu.h>

#include <algorithm>

#include "csrc/kernels/onednn.h"
#include "csrc/kernels/packed_weights.h"
#include "csrc/kernels/tensor_over.h"

namespace torch_hpu::kernels {
namespace {

size_t rank_of(const LibraryCall& call) {
  return call.writes[0].sizes.size();
}

// An operand as [batch..., rows, cols] of the rank of out: leading dims added, dims of size 1 with stride 0 where out is larger.
Side side_of(const Operand& o, const ir::DimVector& out_sizes, bool broadcast_matrix) {
  const size_t rank = out_sizes.size(), missing = rank - o.sizes.size();
  Side s;
  auto stride = [&](size_t d) {
    const bool broadcast = d < missing || (o.sizes[d - missing] == 1 && (d + 2 < rank || broadcast_matrix));
    return broadcast ? 0 : o.strides[d - missing];
  };
  for (size_t d = 0; d + 2 < rank; ++d) {
    s.batch.push_back(stride(d));
  }
  s.row = stride(rank - 2);
  s.col = stride(rank - 1);
  return s;
}

std::vector<Side*> sides_of(MatmulProblem& p) {
  std::vector<Side*> sides{&p.a, &p.b, &p.out};
  for (MatmulProblem::Extra& e : p.extras) {
    if (e.tensor) {
      sides.push_back(&e.side);
    }
  }
  return sides;
}

// Drops batch dims of size 1 and merges neighbours that all sides walk as one.
void merge_batches(MatmulProblem& p) {
  const auto sides = sides_of(p);
  auto erase = [&](size_t d) {
    p.batch.erase(p.batch.begin() + static_cast<int64_t>(d));
    for (Side* s : sides) {
      s->batch.erase(s->batch.begin() + static_cast<int64_t>(d));
    }
  };
  for (size_t d = p.batch.size(); d-- > 0;) {
    if (p.batch[d] == 1) {
      erase(d);
    }
  }
  for (size_t d = p.batch.size(); d-- > 1;) {
    if (std::all_of(sides.begin(), sides.end(), [&](const Side* s) { return s->batch[d - 1] == s->batch[d] * p.batch[d]; })) {
      const int64_t outer = p.batch[d - 1];
      erase(d - 1);
      p.batch[d - 1] *= outer;
    }
  }
}

// One b for all batches: the batches are more rows.
void fold_batches_into_rows(MatmulProblem& p) {
  while (!p.batch.empty() && p.b.batch.back() == 0) {
    const auto sides = sides_of(p);
    const bool fits =
        std::all_of(sides.begin(), sides.end(), [&](const Side* s) { return s == &p.b || p.m == 1 || s->batch.back() == s->row * p.m; });
    if (!fits) {
      return;
    }
    for (Side* s : sides) {
      if (s != &p.b && p.m == 1) {
        s->row = s->batch.back();
      }
      s->batch.pop_back();
    }
    p.m *= p.batch.back();
    p.batch.pop_back();
  }
}

void transpose(MatmulProblem& p) {
  std::swap(p.a, p.b);
  std::swap(p.m, p.n);
  for (Side* s : sides_of(p)) {
    std::swap(s->row, s->col);
  }
}

struct Canonical {
  MatmulProblem problem;
  bool transposed = false;  // a and b have changed places
};

Canonical canonical(const LibraryCall& call) {
  Canonical c;
  MatmulProblem& p = c.problem;
  const Operand &a = call.reads[0], &b = call.reads[1], &out = call.writes[0];
  const size_t rank = rank_of(call);
  p.dtype = out.dtype;
  p.batch.assign(out.sizes.begin(), out.sizes.end() - 2);
  p.m = out.sizes[rank - 2];
  p.n = out.sizes[rank - 1];
  p.k = a.sizes.back();
  p.a = side_of(a, out.sizes, false);
  p.b = side_of(b, out.sizes, false);
  p.out = side_of(out, out.sizes, false);
  p.accumulate = !call.ints.empty() && call.ints[0] != 0;
  if (present(call.reads[2])) {
    p.extras.push_back({PostOp::Kind::kAdd, 1, true, call.reads[2].dtype, side_of(call.reads[2], out.sizes, true)});
  }
  for (const PostOp& post_op : call.post_ops) {
    MatmulProblem::Extra e;
    e.kind = post_op.kind;
    e.value = post_op.value;
    e.tensor = post_op.kind == PostOp::Kind::kAdd || post_op.kind == PostOp::Kind::kMul;
    if (e.tensor) {
      e.dtype = call.reads[post_op.operand].dtype;
      e.side = side_of(call.reads[post_op.operand], out.sizes, true);
    }
    p.extras.push_back(e);
  }
  merge_batches(p);
  fold_batches_into_rows(p);
  if ((p.n == 1 && p.m > 1) || (p.out.col != 1 && p.n > 1 && (p.out.row == 1 || p.m == 1))) {
    transpose(p);
    c.transposed = true;
    fold_batches_into_rows(p);
  }
  if (p.n == 1) {
    p.out.col = 1;
  }
  return c;
}

bool broadcasts_to(const Operand& o, const Operand& out) {
  if (o.sizes.size() > out.sizes.size()) {
    return false;
  }
  const size_t missing = out.sizes.size() - o.sizes.size();
  for (size_t d = 0; d < o.sizes.size(); ++d) {
    if (o.sizes[d] != 1 && o.sizes[d] != out.sizes[d + missing]) {
      return false;
    }
  }
  return true;
}

at::Tensor apply(const PostOp& op, const at::Tensor& x, const LibraryCall& call, const Invocation& invocation) {
  switch (op.kind) {
    case PostOp::Kind::kRelu:
      return x.relu();
    case PostOp::Kind::kGeluErf:
      return at::gelu(x);
    case PostOp::Kind::kGeluTanh:
      return at::gelu(x, "tanh");
    case PostOp::Kind::kSilu:
      return at::silu(x);
    case PostOp::Kind::kSigmoid:
      return x.sigmoid();
    case PostOp::Kind::kTanh:
      return x.tanh();
    case PostOp::Kind::kScale:
      return x.mul(op.value);
    case PostOp::Kind::kAdd:
      return x.add(tensor_over(call.reads[op.operand], invocation));
    case PostOp::Kind::kMul:
      return x.mul(tensor_over(call.reads[op.operand], invocation));
  }
  return x;
}

class MatmulStep final : public LibraryStep {
 public:
  MatmulStep(const LibraryCall& call, const Constants& constants) : LibraryStep(call), call_(call) {
    empty_ = numel(call.writes[0]) == 0;
    if (empty_ || call.reads[0].sizes.back() == 0) {
      return;
    }
    const Canonical c = canonical(call);
    transposed_ = c.transposed;
    const bool rows_contiguous = c.problem.out.col == 1 && (c.problem.out.row != 0 || c.problem.m == 1);
    if (!rows_contiguous) {
      return;
    }
    const size_t b = transposed_ ? 0 : 1;
    kernel_ = choose_matmul(c.problem, b < constants.size() && constants[b]);
    if (kernel_ != nullptr && kernel_->packed_bytes() > 0) {
      packed_layout_ = layout_id("matmul " + c.problem.key());
    }
  }

 protected:
  void execute(const Invocation& invocation) const override {
    if (empty_) {
      return;
    }
    const double alpha = scalar(invocation, 0), beta = scalar(invocation, 1);
    if (kernel_ == nullptr || alpha != 1 || (beta != 1 && (present(call_.reads[2]) || accumulates()))) {
      execute_generally(invocation, alpha, beta);
      return;
    }
    MatmulPointers p;
    const Operand &a = call_.reads[transposed_ ? 1 : 0], &b = call_.reads[transposed_ ? 0 : 1];
    p.a = address(a, invocation);
    p.b = address(b, invocation);
    p.out = address(call_.writes[0], invocation);
    if (present(call_.reads[2])) {
      p.extras.push_back(address(call_.reads[2], invocation));
    }
    for (const PostOp& op : call_.post_ops) {
      if (op.kind == PostOp::Kind::kAdd || op.kind == PostOp::Kind::kMul) {
        p.extras.push_back(address(call_.reads[op.operand], invocation));
      }
    }
    std::shared_ptr<const std::byte> packed;  // keeps the copy during the run
    if (kernel_->packed_bytes() > 0 && invocation.tags != nullptr) {
      const int64_t offset = static_cast<const std::byte*>(p.b) - invocation.buffers[b.buffer];
      packed = packed_weight(invocation.tags[b.buffer], offset, packed_layout_, kernel_->packed_bytes(),
                             [&](std::byte* to) { kernel_->pack(p.b, to); });
      p.packed_b = packed.get();
    }
    kernel_->run(p);
  }

 private:
  bool accumulates() const {
    return !call_.ints.empty() && call_.ints[0] != 0;
  }

  double scalar(const Invocation& invocation, size_t i) const {
    if (i >= call_.scalars.size() || call_.scalars[i] == ir::kNone) {
      return 1;
    }
    const ir::ScalarValue& v = invocation.scalars[call_.scalars[i]];
    return i < call_.floats.size() && call_.floats[i] != 0 ? static_cast<double>(v.i) : v.d;
  }

  void execute_generally(const Invocation& invocation, double alpha, double beta) const {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const c10::ScalarType dtype = call_.writes[0].dtype;
    const c10::ScalarType wide = dtype == c10::ScalarType::Double ? dtype : c10::ScalarType::Float;
    at::Tensor r = at::matmul(tensor_over(call_.reads[0], invocation).to(wide), tensor_over(call_.reads[1], invocation).to(wide));
    const at::Tensor out = tensor_over(call_.writes[0], invocation);
    r = r.mul(alpha).expand(out.sizes());
    if (present(call_.reads[2]) && beta != 0) {
      r = r.add(tensor_over(call_.reads[2], invocation).to(wide), beta);
    }
    if (accumulates() && beta != 0) {
      r = r.add(out.to(wide), beta);
    }
    for (const PostOp& op : call_.post_ops) {
      r = apply(op, r, call_, invocation);
    }
    out.copy_(r);
  }

  LibraryCall call_;
  bool empty_ = false;
  bool transposed_ = false;
  std::unique_ptr<MatmulKernel> kernel_;  // null: always by ATen
  uint32_t packed_layout_ = 0;
};

}  // namespace

int64_t MatmulProblem::batches() const {
  int64_t n = 1;
  for (int64_t b : batch) {
    n *= b;
  }
  return n;
}

std::string MatmulProblem::key() const {
  std::string text;
  auto add = [&](int64_t v) { text.append(reinterpret_cast<const char*>(&v), sizeof v); };
  auto add_side = [&](const Side& s) {
    for (int64_t v : s.batch) {
      add(v);
    }
    add(s.row);
    add(s.col);
  };
  for (int64_t v : {static_cast<int64_t>(dtype), m, n, k, static_cast<int64_t>(accumulate), static_cast<int64_t>(batch.size()),
                    static_cast<int64_t>(extras.size())}) {
    add(v);
  }
  for (int64_t v : batch) {
    add(v);
  }
  add_side(a);
  add_side(b);
  add_side(out);
  for (const Extra& e : extras) {
    add(static_cast<int64_t>(e.kind) << 16 | static_cast<int64_t>(e.dtype) << 1 | static_cast<int64_t>(e.tensor));
    text.append(reinterpret_cast<const char*>(&e.value), sizeof e.value);
    if (e.tensor) {
      add_side(e.side);
    }
  }
  return text;
}

bool matmul_supported(const LibraryCall& call) {
  const Operand &a = call.reads[0], &b = call.reads[1], &out = call.writes[0];
  const c10::ScalarType t = out.dtype;
  if (a.dtype != t || b.dtype != t || (t != c10::ScalarType::Double && !onednn::has_dtype(t))) {
    return false;
  }
  const size_t rank = out.sizes.size();
  if (rank < 2 || a.sizes.size() < 2 || b.sizes.size() < 2 || a.sizes.size() > rank || b.sizes.size() > rank) {
    return false;
  }
  return !present(call.reads[2]) || (broadcasts_to(call.reads[2], out) && c10::isFloatingType(call.reads[2].dtype));
}

bool matmul_can_fuse(const LibraryCall& call, const PostOp& post_op, const Operand& operand) {
  if (call.post_ops.size() >= 16) {
    return false;
  }
  if (post_op.kind != PostOp::Kind::kAdd && post_op.kind != PostOp::Kind::kMul) {
    return true;
  }
  const Operand& out = call.writes[0];
  return broadcasts_to(operand, out) && operand.buffer != out.buffer &&
         (operand.dtype == out.dtype || (operand.dtype == c10::ScalarType::Float && out.dtype != c10::ScalarType::Double));
}

std::unique_ptr<Step> make_matmul(const LibraryCall& call, const Constants& constants) {
  return std::make_unique<MatmulStep>(call, constants);
}

}  // namespace torch_hpu::kernels
