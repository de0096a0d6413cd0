#include "csrc/kernels/reference.h"

#include <ATen/MemoryOverlap.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>

#include "csrc/ir/op.h"
#include "csrc/kernels/random.h"
#include "csrc/support/counters.h"

namespace torch_hpu::kernels {
namespace {

using torch::jit::Stack;

at::Tensor tensor_over(std::byte* data, const ir::Window& w, int64_t offset, int64_t nbytes) {
  c10::Storage storage(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), nbytes,
                                                             c10::DataPtr(data, c10::Device(c10::DeviceType::CPU)), nullptr, false));
  at::Tensor t = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU),
                                                          c10::scalarTypeToTypeMeta(w.dtype));
  t.unsafeGetTensorImpl()->set_sizes_and_strides(w.sizes, w.strides, offset);
  if (w.conj) {
    t._set_conj(true);
  }
  if (w.neg) {
    t._set_neg(true);
  }
  return t;
}

at::Scalar scalar_of(ir::ScalarCategory category, const ir::ScalarValue& v) {
  switch (category) {
    case ir::ScalarCategory::kBool:
      return v.i != 0;
    case ir::ScalarCategory::kInt:
      return v.i;
    case ir::ScalarCategory::kFloat:
      return v.d;
    case ir::ScalarCategory::kComplex:
      return c10::complex<double>(v.d, v.imag);
  }
  return 0;
}

bool lists_optional_tensors(const c10::Argument& argument) {
  const c10::TypePtr type = argument.real_type();
  return type->kind() == c10::TypeKind::ListType && type->castRaw<c10::ListType>()->getElementType()->kind() == c10::TypeKind::OptionalType;
}

class ReferenceStep final : public Step {
 public:
  ReferenceStep(const ir::Graph& graph, const ir::Node& node) : node_(node) {
    // The node's own windows, lists and scalars; ids stay those of the graph.
    for (ir::Arg& arg : node_.args) {
      if (arg.kind == ir::Arg::Kind::kConst && arg.value.isDevice() && arg.value.toDevice().type() == c10::DeviceType::PrivateUse1) {
        arg.value = c10::Device(c10::DeviceType::CPU);
      } else if (arg.kind == ir::Arg::Kind::kWindow) {
        keep(graph, arg.index);
      } else if (arg.kind == ir::Arg::Kind::kWindowList) {
        for (uint32_t k = 0; k < arg.count; ++k) {
          const ir::WindowId id = graph.list_items[arg.index + k];
          items_.push_back(id);
          if (id != ir::kNone) {
            keep(graph, id);
          }
        }
      } else if (arg.kind == ir::Arg::Kind::kScalar || arg.kind == ir::Arg::Kind::kScalarTensor) {
        categories_.push_back(graph.scalars[arg.index].category);
      }
    }
    for (ir::WindowId id : node_.writes) {
      if (id != ir::kNone) {
        keep(graph, id);
      }
    }
    out_variant_ = !node_.mutating && node_.op->out_variant.has_value() && node_.rng == ir::kNone && destinations_are_private(graph);
  }

  void run(const Invocation& invocation) const override {
    count(Counter::kExternCalls);
    count_detail(Counter::kExternCalls, node_.op->name);
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    std::unordered_map<ir::WindowId, at::Tensor> tensors;
    for (const Kept& k : windows_) {
      tensors.emplace(k.id, tensor_over(invocation.buffers[k.window.buffer], k.window, invocation.offsets[k.id], k.nbytes));
    }
    if (node_.rng != ir::kNone) {
      run_random_node(invocation, tensors);
      return;
    }
    Stack stack;
    push_arguments(stack, invocation, tensors);
    if (out_variant_) {
      for (ir::WindowId id : node_.writes) {
        stack.emplace_back(tensors.at(id));
      }
      node_.op->out_variant->callBoxed(stack);
      return;
    }
    node_.op->handle.callBoxed(stack);
    store_returns(stack, tensors);
  }

  StepKind kind() const override {
    return StepKind::kExtern;
  }
  std::string name() const override {
    return node_.op->name;
  }

 private:
  struct Kept {
    ir::WindowId id;
    ir::Window window;
    int64_t nbytes;
  };

  void keep(const ir::Graph& graph, ir::WindowId id) {
    const ir::Window& w = graph.windows[id];
    windows_.push_back({id, w, graph.buffers[w.buffer].nbytes});
  }

  // Whether the op may write straight into the destinations: dense fresh memory that no argument shows.
  bool destinations_are_private(const ir::Graph& graph) const {
    const size_t reads = windows_.size() - static_cast<size_t>(std::count_if(node_.writes.begin(), node_.writes.end(),
                                                                             [](ir::WindowId w) { return w != ir::kNone; }));
    for (ir::WindowId id : node_.writes) {
      if (id == ir::kNone) {
        return false;
      }
      const ir::Window& w = graph.windows[id];
      if (static_cast<int64_t>(w.numel() * c10::elementSize(w.dtype)) != graph.buffers[w.buffer].nbytes ||
          graph.buffers[w.buffer].kind != ir::BufferKind::kLocal) {
        return false;
      }
      for (size_t k = 0; k < reads; ++k) {
        if (windows_[k].window.buffer == w.buffer) {
          return false;
        }
      }
    }
    return true;
  }

  void push_arguments(Stack& stack, const Invocation& invocation, std::unordered_map<ir::WindowId, at::Tensor>& tensors) const {
    const auto& arguments = node_.op->handle.schema().arguments();
    size_t item = 0, category = 0;
    for (size_t i = 0; i < node_.args.size(); ++i) {
      const ir::Arg& arg = node_.args[i];
      switch (arg.kind) {
        case ir::Arg::Kind::kNone: {
          const bool tensor = arguments[i].real_type()->kind() == c10::TypeKind::TensorType;
          tensor ? stack.emplace_back(at::Tensor()) : stack.emplace_back();
          break;
        }
        case ir::Arg::Kind::kWindow: {
          at::Tensor& t = tensors.at(arg.index);
          if (arg.wrapped) {
            t.unsafeGetTensorImpl()->set_wrapped_number(true);
          }
          stack.emplace_back(t);
          break;
        }
        case ir::Arg::Kind::kWindowList:
          if (lists_optional_tensors(arguments[i])) {
            c10::List<std::optional<at::Tensor>> list;
            for (uint32_t k = 0; k < arg.count; ++k) {
              const ir::WindowId id = items_[item++];
              list.push_back(id == ir::kNone ? std::nullopt : std::optional<at::Tensor>(tensors.at(id)));
            }
            stack.emplace_back(std::move(list));
          } else {
            c10::List<at::Tensor> list;
            for (uint32_t k = 0; k < arg.count; ++k) {
              list.push_back(tensors.at(items_[item++]));
            }
            stack.emplace_back(std::move(list));
          }
          break;
        case ir::Arg::Kind::kScalar: {
          const at::Scalar s = scalar_of(categories_[category++], invocation.scalars[arg.index]);
          const bool number = arguments[i].type()->kind() == c10::TypeKind::NumberType ||
              (arguments[i].type()->kind() == c10::TypeKind::OptionalType &&
               arguments[i].type()->castRaw<c10::OptionalType>()->getElementType()->kind() == c10::TypeKind::NumberType);
          number ? stack.emplace_back(s) : stack.emplace_back(s.toDouble());
          break;
        }
        case ir::Arg::Kind::kScalarTensor: {
          at::Tensor t = at::scalar_tensor(scalar_of(categories_[category++], invocation.scalars[arg.index]),
                                           at::TensorOptions().dtype(arg.dtype));
          if (arg.wrapped) {
            t.unsafeGetTensorImpl()->set_wrapped_number(true);
          }
          stack.emplace_back(std::move(t));
          break;
        }
        case ir::Arg::Kind::kConst:
          stack.emplace_back(arg.value);
          break;
      }
    }
  }

  void store_returns(Stack& stack, std::unordered_map<ir::WindowId, at::Tensor>& tensors) const {
    // A mutating op has written its arguments; its fresh returns are the last ones.
    const size_t fresh = node_.mutating ? node_.writes.size() - count_mutated() : node_.writes.size();
    for (size_t i = 0; i < fresh; ++i) {
      const ir::WindowId id = node_.writes[node_.writes.size() - fresh + i];
      const at::Tensor& result = stack[stack.size() - fresh + i].toTensor();
      if (id != ir::kNone && result.defined()) {
        tensors.at(id).copy_(result);
      }
    }
  }

  size_t count_mutated() const {
    size_t n = 0;
    for (uint32_t m : node_.op->mutated) {
      const ir::Arg& arg = node_.args[m];
      n += arg.kind == ir::Arg::Kind::kWindow ? 1 : arg.kind == ir::Arg::Kind::kWindowList ? arg.count : 0;
    }
    return n;
  }

  void run_random_node(const Invocation& invocation, std::unordered_map<ir::WindowId, at::Tensor>& tensors) const {
    std::vector<at::Tensor> inputs, out;
    std::vector<ir::ScalarValue> scalars;
    for (const ir::Arg& arg : node_.args) {
      if (arg.kind == ir::Arg::Kind::kWindow) {
        inputs.push_back(tensors.at(arg.index));
      } else if (arg.kind == ir::Arg::Kind::kScalar) {
        scalars.push_back(invocation.scalars[arg.index]);
      }
    }
    for (ir::WindowId id : node_.writes) {
      out.push_back(tensors.at(id));
    }
    const RandomStream stream{static_cast<uint64_t>(invocation.scalars[node_.rng].i),
                              static_cast<uint64_t>(invocation.scalars[node_.rng + 1].i)};
    TORCH_INTERNAL_ASSERT(run_random(node_.op->name, stream, inputs, scalars, out), node_.op->name);
  }

  ir::Node node_;
  std::vector<Kept> windows_;
  std::vector<ir::WindowId> items_;
  std::vector<ir::ScalarCategory> categories_; // of scalar arguments, in order
  bool out_variant_ = false;
};

} // namespace

std::unique_ptr<Step> make_reference_step(const ir::Graph& graph, const ir::Node& node) {
  return std::make_unique<ReferenceStep>(graph, node);
}

} // namespace torch_hpu::kernels
