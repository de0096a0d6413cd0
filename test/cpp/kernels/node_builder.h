// A graph of one node over CPU tensors, and its run by the reference step: arguments are given as tensors and constants, in schema order.
#pragma once

#include <ATen/core/Tensor.h>

#include "csrc/ir/op.h"
#include "csrc/kernels/reference.h"

namespace torch_hpu::testing {

class NodeBuilder {
 public:
  explicit NodeBuilder(const char* name, const char* overload = "") : op_(c10::Dispatcher::singleton().findSchemaOrThrow(name, overload)) {
    op_.name = *overload == 0 ? name : std::string(name) + "." + overload;
    node_.op = &op_;
  }

  NodeBuilder& tensor(const at::Tensor& t) {
    arg(ir::Arg::Kind::kWindow).index = window(t);
    return *this;
  }
  NodeBuilder& tensors(const std::vector<at::Tensor>& list) {
    ir::Arg& a = arg(ir::Arg::Kind::kWindowList);
    a.index = static_cast<uint32_t>(graph_.list_items.size());
    a.count = static_cast<uint32_t>(list.size());
    for (const at::Tensor& t : list) {
      const ir::WindowId id = t.defined() ? window(t) : ir::kNone;
      graph_.list_items.push_back(id);
    }
    return *this;
  }
  NodeBuilder& none() {
    arg(ir::Arg::Kind::kNone);
    return *this;
  }
  NodeBuilder& constant(c10::IValue value) {
    arg(ir::Arg::Kind::kConst).value = std::move(value);
    return *this;
  }
  NodeBuilder& scalar(double value) {
    arg(ir::Arg::Kind::kScalar).index = number(value);
    return *this;
  }
  NodeBuilder& scalar(int64_t value) {
    arg(ir::Arg::Kind::kScalar).index = number(value);
    return *this;
  }
  NodeBuilder& scalar_tensor(double value, c10::ScalarType dtype, bool wrapped) {
    const ir::ScalarId id = number(value);
    ir::Arg& a = arg(ir::Arg::Kind::kScalarTensor);
    a.index = id;
    a.dtype = dtype;
    a.wrapped = wrapped;
    return *this;
  }
  NodeBuilder& write(const at::Tensor& t) {
    node_.writes.push_back(t.defined() ? window(t) : ir::kNone);
    return *this;
  }
  NodeBuilder& random(int64_t seed, int64_t offset) {
    node_.rng = number(seed);
    number(offset);
    return *this;
  }
  NodeBuilder& mutates(c10::ArrayRef<uint32_t> args) {
    node_.mutating = true;
    op_.mutated.assign(args.begin(), args.end());
    for (uint32_t m : args) {
      node_.writes.push_back(node_.args[m].index);
    }
    return *this;
  }
  NodeBuilder& out_variant(const char* overload) {
    op_.out_variant = c10::Dispatcher::singleton().findSchemaOrThrow(op_.handle.operator_name().name.c_str(), overload);
    return *this;
  }

  const ir::Graph& graph() const {
    return graph_;
  }
  ir::Node& node() {
    return node_;
  }

  Invocation invocation() {
    buffers_.clear();
    for (const c10::Storage& s : storages_) {
      buffers_.push_back(static_cast<std::byte*>(s.mutable_data()));
    }
    offsets_.clear();
    for (const ir::Window& w : graph_.windows) {
      offsets_.push_back(w.offset);
    }
    scalars_.clear();
    for (const ir::Scalar& s : graph_.scalars) {
      scalars_.push_back(s.value);
    }
    return {buffers_.data(), offsets_.data(), scalars_.data(), nullptr};
  }

  void run(int times = 1) {
    const auto step = kernels::make_reference_step(graph_, node_);
    for (int i = 0; i < times; ++i) {
      step->run(invocation());
    }
  }

 private:
  ir::Arg& arg(ir::Arg::Kind kind) {
    node_.args.emplace_back();
    node_.args.back().kind = kind;
    return node_.args.back();
  }
  ir::ScalarId number(double value) {
    graph_.scalars.emplace_back();
    graph_.scalars.back().category = ir::ScalarCategory::kFloat;
    graph_.scalars.back().value.d = value;
    return static_cast<ir::ScalarId>(graph_.scalars.size() - 1);
  }
  ir::ScalarId number(int64_t value) {
    graph_.scalars.emplace_back();
    graph_.scalars.back().value.i = value;
    return static_cast<ir::ScalarId>(graph_.scalars.size() - 1);
  }
  ir::WindowId window(const at::Tensor& t) {
    ir::BufferId buffer = 0;
    while (buffer < storages_.size() && !storages_[buffer].is_alias_of(t.storage())) {
      ++buffer;
    }
    if (buffer == storages_.size()) {
      storages_.push_back(t.storage());
      graph_.buffers.push_back({static_cast<int64_t>(t.storage().nbytes()), ir::BufferKind::kInput, true, false});
    }
    ir::Window& w = graph_.windows.emplace_back();
    w.buffer = buffer;
    w.dtype = t.scalar_type();
    w.conj = t.is_conj();
    w.neg = t.is_neg();
    w.offset = t.storage_offset();
    w.sizes.assign(t.sizes().begin(), t.sizes().end());
    w.strides.assign(t.strides().begin(), t.strides().end());
    return static_cast<ir::WindowId>(graph_.windows.size() - 1);
  }

  ir::OpInfo op_;
  ir::Graph graph_;
  ir::Node node_;
  std::vector<c10::Storage> storages_;
  std::vector<std::byte*> buffers_;
  std::vector<int64_t> offsets_;
  std::vector<ir::ScalarValue> scalars_;
};

}  // namespace torch_hpu::testing
