// A library call over CPU tensors.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "csrc/kernels/library.h"

namespace torch_hpu::testing {

class CallBuilder {
 public:
  explicit CallBuilder(kernels::Primitive primitive) {
    call_.primitive = primitive;
  }
  CallBuilder& read(const at::Tensor& t, bool constant = false) {
    call_.reads.push_back(operand(t));
    constants_.push_back(constant);
    return *this;
  }
  CallBuilder& write(const at::Tensor& t) {
    call_.writes.push_back(operand(t));
    return *this;
  }
  CallBuilder& ints(std::vector<int64_t> v) {
    call_.ints = std::move(v);
    return *this;
  }
  CallBuilder& floats(std::vector<double> v) {
    call_.floats = std::move(v);
    return *this;
  }
  CallBuilder& scalars(const std::vector<double>& v) {
    for (double d : v) {
      call_.scalars.push_back(static_cast<ir::ScalarId>(scalars_.size()));
      scalars_.emplace_back().d = d;
    }
    return *this;
  }
  CallBuilder& post_op(kernels::PostOp::Kind kind, double value = 1) {
    kernels::PostOp p;
    p.kind = kind;
    p.value = value;
    call_.post_ops.push_back(p);
    return *this;
  }
  CallBuilder& post_op(kernels::PostOp::Kind kind, const at::Tensor& t) {
    kernels::PostOp p;
    p.kind = kind;
    const kernels::Operand o = operand(t);
    EXPECT_TRUE(kernels::can_fuse(call_, p, o));
    p.operand = static_cast<uint32_t>(call_.reads.size());
    call_.reads.push_back(o);
    constants_.push_back(false);
    call_.post_ops.push_back(p);
    return *this;
  }
  CallBuilder& tags(std::vector<BufferTag> t) {
    tags_ = std::move(t);
    return *this;
  }

  const kernels::LibraryCall& call() const {
    return call_;
  }
  bool supported() const {
    return kernels::supported(call_);
  }

  Invocation invocation() {
    buffers_.clear();
    for (const c10::Storage& s : storages_) {
      buffers_.push_back(static_cast<std::byte*>(s.mutable_data()));
    }
    return {buffers_.data(), nullptr, scalars_.data(), tags_.empty() ? nullptr : tags_.data()};
  }

  std::unique_ptr<Step> step() {
    EXPECT_TRUE(supported()) << kernels::to_string(call_);
    return kernels::make_step(call_, constants_);
  }

  void run() {
    step()->run(invocation());
  }

 private:
  kernels::Operand operand(const at::Tensor& t) {
    kernels::Operand o;
    if (!t.defined()) {
      return o;
    }
    size_t buffer = 0;
    while (buffer < storages_.size() && !storages_[buffer].is_alias_of(t.storage())) {
      ++buffer;
    }
    if (buffer == storages_.size()) {
      storages_.push_back(t.storage());
    }
    o.buffer = static_cast<uint32_t>(buffer);
    o.dtype = t.scalar_type();
    o.offset = t.storage_offset();
    o.sizes.assign(t.sizes().begin(), t.sizes().end());
    o.strides.assign(t.strides().begin(), t.strides().end());
    return o;
  }

  kernels::LibraryCall call_;
  std::vector<bool> constants_;
  std::vector<c10::Storage> storages_;
  std::vector<std::byte*> buffers_;
  std::vector<ir::ScalarValue> scalars_;
  std::vector<BufferTag> tags_;
};

// Against a reference computed in double: the error must stay in proportion to the magnitude of the numbers involved.
inline void expect_close(const at::Tensor& got, const at::Tensor& expected, double tolerance, const std::string& what = "") {
  const at::Tensor a = got.to(at::kDouble), b = expected.to(at::kDouble);
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  if (a.numel() == 0) {
    return;
  }
  EXPECT_TRUE(at::allclose(a, b, tolerance, tolerance, /*equal_nan=*/true))
      << what << ": largest error " << (a - b).abs().max().item<double>() << " at magnitude " << b.abs().max().item<double>();
}

inline double tolerance_of(c10::ScalarType t) {
  return t == at::kDouble ? 1e-10 : t == at::kFloat ? 2e-5 : 2e-2;
}

}  // namespace torch_hpu::testing
