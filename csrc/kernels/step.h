// What all library steps share: addresses of operands, counting, and the row that a primitive fills in the table of library.cpp.
#pragma once

#include "csrc/kernels/library.h"
#include "csrc/support/counters.h"

namespace torch_hpu::kernels {

inline int64_t numel(const Operand& o) {
  int64_t n = 1;
  for (int64_t s : o.sizes) {
    n *= s;
  }
  return n;
}

inline bool present(const Operand& o) {
  return o.buffer != ir::kNone;
}

inline std::byte* address(const Operand& o, const Invocation& invocation) {
  const int64_t dynamic = o.dynamic == ir::kNone ? 0 : invocation.offsets[o.dynamic];
  return invocation.buffers[o.buffer] + (o.offset + dynamic) * static_cast<int64_t>(c10::elementSize(o.dtype));
}

// The address, or null for an operand left out.
inline std::byte* optional_address(const Operand& o, const Invocation& invocation) {
  return present(o) ? address(o, invocation) : nullptr;
}

// Whether the post-op has a tensor among the call's reads.
inline bool reads_tensor(const PostOp& p) {
  return p.kind == PostOp::Kind::kAdd || p.kind == PostOp::Kind::kMul;
}

// A step that counts itself and then executes.
class LibraryStep : public Step {
 public:
  explicit LibraryStep(const LibraryCall& call);
  void run(const Invocation& invocation) const final {
    count(Counter::kLibraryCalls);
    execute(invocation);
  }
  StepKind kind() const final {
    return StepKind::kLibrary;
  }
  std::string name() const final {
    return name_;
  }

 protected:
  virtual void execute(const Invocation& invocation) const = 0;

 private:
  std::string name_;  // "matmul", with post-ops "matmul_add_relu"
};

using Constants = std::vector<bool>;

// What library.cpp asks of each primitive. can_fuse null: no post-ops. optional_writes: all writes but the first may be left out.
struct PrimitiveRow {
  const char* name;
  bool (*supported)(const LibraryCall&);
  std::unique_ptr<Step> (*make)(const LibraryCall&, const Constants&);
  bool (*can_fuse)(const LibraryCall&, const PostOp&, const Operand&);
  bool optional_writes = false;
};

// matmul.cpp
bool matmul_supported(const LibraryCall& call);
bool matmul_can_fuse(const LibraryCall& call, const PostOp& post_op, const Operand& operand);
std::unique_ptr<Step> make_matmul(const LibraryCall& call, const Constants& constants);
// sibling_matmuls.cpp
bool sibling_matmuls_supported(const LibraryCall& call);
std::unique_ptr<Step> make_sibling_matmuls(const LibraryCall& call, const Constants& constants);
// onednn_convolution.cpp
bool convolution_supported(const LibraryCall& call);
bool convolution_can_fuse(const LibraryCall& call, const PostOp& post_op, const Operand& operand);
std::unique_ptr<Step> make_convolution(const LibraryCall& call, const Constants& constants);
// pool.cpp, max_pool.cpp, avg_pool.cpp
bool pool_supported(const LibraryCall& call);
std::unique_ptr<Step> make_max_pool(const LibraryCall& call, const Constants& constants);
std::unique_ptr<Step> make_avg_pool(const LibraryCall& call, const Constants& constants);
// attention_operands.cpp
bool attention_supported(const LibraryCall& call);
// attention.cpp
std::unique_ptr<Step> make_attention(const LibraryCall& call, const Constants& constants);
// attention_backward.cpp
std::unique_ptr<Step> make_attention_backward(const LibraryCall& call, const Constants& constants);
// resample.cpp
bool resample_supported(const LibraryCall& call);
std::unique_ptr<Step> make_resample(const LibraryCall& call, const Constants& constants);
// embedding_backward.cpp
bool embedding_backward_supported(const LibraryCall& call);
std::unique_ptr<Step> make_embedding_backward(const LibraryCall& call, const Constants& constants);
// index_put.cpp
bool index_put_supported(const LibraryCall& call);
std::unique_ptr<Step> make_index_put(const LibraryCall& call, const Constants& constants);
// scatter.cpp
bool scatter_supported(const LibraryCall& call);
std::unique_ptr<Step> make_scatter(const LibraryCall& call, const Constants& constants);
// scan.cpp
bool scan_supported(const LibraryCall& call);
std::unique_ptr<Step> make_scan(const LibraryCall& call, const Constants& constants);

}  // namespace torch_hpu::kernels
