// kMatmul: runs the kernel chosen for the call's canonical form. What no kernel takes (odd strides, scale factors other than 1, an empty inner
// dimension) is done by ATen on tensors over the operands.
#include "csrc/kernels/matmul.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/silu.h>

#include "csrc/kernels/onednn.h"
#include "csrc/kernels/packed_weights.h"
#include "csrc/kernels/tensor_over.h"

namespace torch_hpu::kernels {
namespace {

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

}  // namespace

double factor(const LibraryCall& call, const Invocation& invocation, size_t i) {
  if (i >= call.scalars.size() || call.scalars[i] == ir::kNone) {
    return 1;
  }
  const ir::ScalarValue& v = invocation.scalars[call.scalars[i]];
  return i < call.floats.size() && call.floats[i] != 0 ? static_cast<double>(v.i) : v.d;
}

MatmulStep::MatmulStep(const LibraryCall& call, const Constants& constants) : LibraryStep(call), call_(call) {
  empty_ = numel(call.writes[0]) == 0;
  if (empty_ || call.reads[0].sizes.back() == 0) {
    return;
  }
  const CanonicalMatmul c = canonical(call);
  transposed_ = c.transposed;
  const bool rows_contiguous = c.problem.out.col == 1 && (c.problem.out.row != 0 || c.problem.m == 1);
  if (!rows_contiguous) {
    return;
  }
  const size_t b = transposed_ ? 0 : 1;
  kernel_ = choose_matmul(c.problem, b < constants.size() && constants[b]);
  if (kernel_ != nullptr && !kernel_->prepare()) {
    kernel_ = nullptr;
  }
  if (kernel_ != nullptr && kernel_->packed_bytes() > 0) {
    packed_layout_ = layout_id("matmul " + c.problem.key());
  }
}

void MatmulStep::execute(const Invocation& invocation) const {
  if (empty_) {
    return;
  }
  const double alpha = factor(call_, invocation, 0), beta = factor(call_, invocation, 1);
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
    packed =
        packed_weight(WeightSource(b, invocation), packed_layout_, kernel_->packed_bytes(), [&](std::byte* to) { kernel_->pack(p.b, to); });
    p.packed_b = packed.get();
  }
  kernel_->run(p);
}

bool MatmulStep::accumulates() const {
  return !call_.ints.empty() && call_.ints[0] != 0;
}

void MatmulStep::execute_generally(const Invocation& invocation, double alpha, double beta) const {
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
  if (!broadcasts_to(operand, out) || operand.buffer == out.buffer ||
      (operand.dtype != out.dtype && (operand.dtype != c10::ScalarType::Float || out.dtype == c10::ScalarType::Double))) {
    return false;
  }
  LibraryCall fused = call;
  fused.post_ops.push_back(post_op);
  fused.post_ops.back().operand = static_cast<uint32_t>(fused.reads.size());
  fused.reads.push_back(operand);
  return onednn_reads_extras(canonical(fused).problem);
}

std::unique_ptr<Step> make_matmul(const LibraryCall& call, const Constants& constants) {
  return std::make_unique<MatmulStep>(call, constants);
}

}  // namespace torch_hpu::kernels
