#include "csrc/kernels/onednn.h"

#include <c10/util/Exception.h>
#include <c10/util/strides.h>

#include <future>

#include "csrc/kernels/packed_weights.h"
#include "csrc/support/exit.h"

namespace torch_hpu::kernels::onednn {
namespace {

dnnl::memory::dims dims(c10::IntArrayRef v) {
  return {v.begin(), v.end()};
}

// Strides that a dense tensor of these sizes has with its dims in `order` (outermost first).
dnnl::memory::dims dense(c10::IntArrayRef sizes, c10::IntArrayRef order) {
  dnnl::memory::dims strides(sizes.size());
  int64_t next = 1;
  for (size_t i = order.size(); i-- > 0;) {
    strides[static_cast<size_t>(order[i])] = next;
    next *= std::max<int64_t>(sizes[static_cast<size_t>(order[i])], 1);
  }
  return strides;
}

bool agree(c10::IntArrayRef sizes, c10::IntArrayRef a, const dnnl::memory::dims& b) {
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] != 1 && a[d] != b[d]) {
      return false;
    }
  }
  return true;
}

}  // namespace

dnnl::engine& engine() {
  static auto* instance = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *instance;
}

dnnl::stream& stream() {
  thread_local dnnl::stream instance(engine());
  return instance;
}

dnnl::memory::data_type data_type(c10::ScalarType t) {
  using D = dnnl::memory::data_type;
  return t == c10::ScalarType::Float ? D::f32 : t == c10::ScalarType::BFloat16 ? D::bf16 : t == c10::ScalarType::Half ? D::f16 : D::undef;
}

namespace {

bool probe(c10::ScalarType dtype) {
  try {
    const auto x = any({1, 16, 8, 8}, dtype), w = any({16, 16, 3, 3}, dtype), y = any({1, 16, 6, 6}, dtype);
    const auto direct = dnnl::algorithm::convolution_direct;
    const dnnl::convolution_forward::primitive_desc forward(engine(), dnnl::prop_kind::forward_training, direct, x, w, y, {1, 1}, {0, 0},
                                                            {0, 0});
    dnnl::convolution_backward_data::primitive_desc(engine(), direct, x, w, y, {1, 1}, {0, 0}, {0, 0}, forward);
    dnnl::convolution_backward_weights::primitive_desc(engine(), direct, x, w, y, {1, 1}, {0, 0}, {0, 0}, forward);
    dnnl::matmul::primitive_desc(engine(), any({16, 16}, dtype), any({16, 16}, dtype), any({16, 16}, dtype));
    return true;
  } catch (const dnnl::error&) {
    return false;
  }
}

}  // namespace

bool has_dtype(c10::ScalarType t) {
  if (t == c10::ScalarType::BFloat16) {
    static const bool known = probe(t);
    return known;
  }
  if (t == c10::ScalarType::Half) {
    static const bool known = probe(t);
    return known;
  }
  return t == c10::ScalarType::Float;
}

dnnl::memory::desc desc(c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::ScalarType dtype) {
  const size_t n = sizes.size();
  std::vector<int64_t> plain(n), channels_last;
  for (size_t d = 0; d < n; ++d) {
    plain[d] = static_cast<int64_t>(d);
  }
  if (n >= 3) {
    channels_last.push_back(0);
    for (size_t d = 2; d < n; ++d) {
      channels_last.push_back(static_cast<int64_t>(d));
    }
    channels_last.push_back(1);
  }
  for (const std::vector<int64_t>& order : {channels_last, plain}) {
    if (order.empty()) {
      continue;
    }
    const auto s = dense(sizes, order);
    if (agree(sizes, strides, s)) {
      return {dims(sizes), data_type(dtype), s};
    }
  }
  return {dims(sizes), data_type(dtype), dims(strides)};
}

dnnl::memory::desc product_desc(c10::IntArrayRef sizes, c10::IntArrayRef strides, dnnl::memory::data_type dtype) {
  dnnl::memory::dims s = dims(strides);
  int64_t span = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    if (sizes[d] == 1) {
      s[d] = span;
    }
    span = std::max(span, sizes[d] * s[d]);
  }
  return {dims(sizes), dtype, s};
}

dnnl::memory::desc any(c10::IntArrayRef sizes, c10::ScalarType dtype) {
  return {dims(sizes), data_type(dtype), dnnl::memory::format_tag::any};
}

void prepare_sgemm(bool wait) {
  static const auto* ready = new std::shared_future<void>(run_aside([] {
    constexpr dnnl_dim_t n = 16;  // a product with a vector has kernels of its own
    const std::vector<float> a(n * n), b(n * n);
    std::vector<float> c(n * n);
    dnnl::sgemm('N', 'N', n, n, n, 1.f, a.data(), n, b.data(), n, 0.f, c.data(), n);
  }));
  if (wait) {
    ready->wait();
  }
}

bool uses_sgemm(std::string_view implementation) {
  return implementation.find("gemm:jit") != std::string_view::npos;  // "x64:gemm:jit" of convolutions
}

bool is_reference(std::string_view implementation) {
  return implementation.starts_with("ref");
}

bool append_post_op(dnnl::post_ops& ops, const PostOp& post_op, const dnnl::memory::desc* operand) {
  using A = dnnl::algorithm;
  switch (post_op.kind) {
    case PostOp::Kind::kRelu:
      // eltwise_relu is a maximum that turns NaN into 0. elu without its negative half keeps NaN, and the sum makes -0 a 0; but its
      // exponential costs as much as a short convolution: a relu at the end of a chain is better done by relu_row on what is stored.
      ops.append_eltwise(A::eltwise_elu, 0, 0);
      ops.append_eltwise(A::eltwise_linear, 1, 0);
      return true;
    case PostOp::Kind::kGeluErf:
      ops.append_eltwise(A::eltwise_gelu_erf, 0, 0);
      return true;
    case PostOp::Kind::kGeluTanh:
      ops.append_eltwise(A::eltwise_gelu_tanh, 0, 0);
      return true;
    case PostOp::Kind::kSilu:
      ops.append_eltwise(A::eltwise_swish, 1, 0);
      return true;
    case PostOp::Kind::kSigmoid:
      ops.append_eltwise(A::eltwise_logistic, 0, 0);
      return true;
    case PostOp::Kind::kTanh:
      ops.append_eltwise(A::eltwise_tanh, 0, 0);
      return true;
    case PostOp::Kind::kScale:
      ops.append_eltwise(A::eltwise_linear, static_cast<float>(post_op.value), 0);
      return true;
    case PostOp::Kind::kAdd:
    case PostOp::Kind::kMul:
      if (operand == nullptr) {
        return false;
      }
      ops.append_binary(post_op.kind == PostOp::Kind::kAdd ? A::binary_add : A::binary_mul, *operand);
      return true;
  }
  return false;
}

dnnl::primitive_attr attributes(const dnnl::post_ops& ops) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attr.set_post_ops(ops);
  return attr;
}

Primitive::Primitive(const dnnl::primitive& primitive, std::vector<Argument> arguments, const dnnl::memory::desc& scratchpad)
    : primitive_(primitive), arguments_(std::move(arguments)), scratchpad_(scratchpad) {}

Primitive::~Primitive() {
  for (auto& slot : free_) {
    delete slot.load(std::memory_order_relaxed);
  }
}

std::unique_ptr<Primitive::Binding> Primitive::take() const {
  for (auto& slot : free_) {
    if (Binding* b = slot.exchange(nullptr, std::memory_order_acquire)) {
      return std::unique_ptr<Binding>(b);
    }
  }
  auto b = std::make_unique<Binding>();
  auto add = [&](int id, const dnnl::memory::desc& d) {
    b->memories.emplace_back(d, engine(), static_cast<void*>(DNNL_MEMORY_NONE));
    b->arguments.push_back({id, b->memories.back().get()});
  };
  for (const Argument& a : arguments_) {
    add(a.id, a.desc);
  }
  if (scratchpad_.get_size() > 0) {
    add(DNNL_ARG_SCRATCHPAD, scratchpad_);
  }
  return b;
}

void Primitive::give_back(std::unique_ptr<Binding> binding) const {
  for (auto& slot : free_) {
    Binding* expected = nullptr;
    if (slot.compare_exchange_strong(expected, binding.get(), std::memory_order_release, std::memory_order_relaxed)) {
      binding.release();
      return;
    }
  }
}

void Primitive::run(c10::ArrayRef<const void*> addresses) const {
  std::unique_ptr<Binding> b = take();
  for (size_t i = 0; i < arguments_.size(); ++i) {
    dnnl_memory_set_data_handle(b->arguments[i].memory, const_cast<void*>(addresses[i]));
  }
  if (b->arguments.size() > arguments_.size()) {
    dnnl_memory_set_data_handle(b->arguments.back().memory, workspace(Workspace::kScratchpad, scratchpad_.get_size()));
  }
  const dnnl_status_t status =
      dnnl_primitive_execute(primitive_.get(), stream().get(), static_cast<int>(b->arguments.size()), b->arguments.data());
  TORCH_CHECK(status == dnnl_success, "[oneDNN] a primitive failed: status ", static_cast<int>(status));
  give_back(std::move(b));
}

Reorder::Reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to) {
  const dnnl::reorder::primitive_desc pd(engine(), from, engine(), to, attributes());
  primitive_ = std::make_unique<Primitive>(dnnl::reorder(pd), std::vector<Primitive::Argument>{{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}},
                                           pd.scratchpad_desc());
}

void Reorder::run(const void* from, void* to) const {
  primitive_->run({from, to});
}

}  // namespace torch_hpu::kernels::onednn
