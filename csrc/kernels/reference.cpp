// A node as a call of its ATen kernel. What does not change between runs (constants, geometry, kinds of arguments) is laid out once;
// a run makes tensors over the buffers, calls, and stores the returns. Nothing here knows what any op computes, except for the random
// ops (kernels/random) and for ops that have no ATen CPU kernel (kernels/composites).
#include "csrc/kernels/reference.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/scalar_tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <atomic>

#include "csrc/ir/op.h"
#include "csrc/kernels/composites.h"
#include "csrc/kernels/random.h"
#include "csrc/kernels/tensor_over.h"

namespace torch_hpu::kernels {
namespace {

using torch::jit::Stack;

at::Tensor tensor_over_window(std::byte* data, const ir::Window& w, int64_t offset, int64_t nbytes) {
  at::Tensor t = tensor_over(data, nbytes, w.dtype, w.sizes, w.strides, offset);
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

const c10::Type& without_optional(const c10::Type& type) {
  return type.kind() == c10::TypeKind::OptionalType ? *type.castRaw<c10::OptionalType>()->getElementType() : type;
}

// Constants as a CPU kernel wants them: no device of ours, nothing pinned.
c10::IValue host_constant(const c10::Argument& argument, const c10::IValue& value) {
  if (value.isDevice() && value.toDevice().type() == c10::DeviceType::PrivateUse1) {
    return c10::Device(c10::DeviceType::CPU);
  }
  return argument.name() == "pin_memory" ? c10::IValue() : value;
}

// Ops whose out= overload uses `out` as scratch of another size.
bool resizes_out(std::string_view name) {
  return name == "aten::mse_loss" || name == "aten::smooth_l1_loss" || name == "aten::huber_loss";
}

class ReferenceStep final : public Step {
 public:
  ReferenceStep(const ir::Graph& graph, const ir::Node& node) : op_(node.op), mutating_(node.mutating), rng_(node.rng) {
    const auto& arguments = op_->handle.schema().arguments();
    template_.reserve(node.args.size() + node.writes.size());
    for (size_t i = 0; i < node.args.size(); ++i) {
      add_argument(graph, arguments[i], node.args[i]);
    }
    reads_ = slots_.size();
    for (ir::WindowId id : node.writes) {
      writes_.push_back(id == ir::kNone ? ir::kNone : slot(graph, id, false));
    }
    composite_ = find_composite(op_->name);
    if (!mutating_ && composite_ == nullptr && op_->out_variant.has_value() && rng_ == ir::kNone && writes_are_private(graph) &&
        !resizes_out(op_->name)) {
      direct_ = Direct::kUnknown;
    }
  }

  void run(const Invocation& invocation) const override {
    count(Counter::kExternCalls);
    count_detail(Counter::kExternCalls, op_->name);
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const c10::impl::ExcludeDispatchKeyGuard below_autocast(c10::autocast_dispatch_keyset);
    c10::SmallVector<at::Tensor, 6> tensors;
    for (const Slot& s : slots_) {
      tensors.push_back(tensor_over_window(invocation.buffers[s.window.buffer], s.window, invocation.offsets[s.id], s.nbytes));
      if (s.wrapped) {
        tensors.back().unsafeGetTensorImpl()->set_wrapped_number(true);
      }
    }
    Stack stack = template_;
    fill(stack, invocation, tensors);
    if (rng_ != ir::kNone) {
      const RandomStream stream{static_cast<uint64_t>(invocation.scalars[rng_].i), static_cast<uint64_t>(invocation.scalars[rng_ + 1].i)};
      run_random(op_->name, stream, stack, destinations(tensors));
    } else if (composite_ != nullptr) {
      composite_(stack);
      store(stack, tensors);
    } else if (direct_.load(std::memory_order_relaxed) == Direct::kYes) {
      for (uint32_t w : writes_) {
        stack.emplace_back(tensors[w]);
      }
      op_->out_variant->callBoxed(stack);
    } else {
      op_->handle.callBoxed(stack);
      store(stack, tensors);
    }
  }

  StepKind kind() const override {
    return StepKind::kExtern;
  }
  std::string name() const override {
    return op_->name;
  }

 private:
  struct Slot {
    ir::WindowId id;
    ir::Window window;
    int64_t nbytes;
    bool wrapped;
  };

  // What a run puts at a place of the stack.
  struct Patch {
    enum class Kind : uint8_t { kTensor, kTensorList, kOptionalTensorList, kNumber, kFloat, kScalarTensor };
    Kind kind;
    uint32_t position;
    uint32_t first = 0;  // slot, or first item
    uint32_t count = 0;
    ir::ScalarId scalar = ir::kNone;
    ir::ScalarCategory category = ir::ScalarCategory::kInt;
    c10::ScalarType dtype = c10::ScalarType::Undefined;
    bool wrapped = false;
  };

  // Whether the out= overload may write straight into the destinations.
  enum class Direct : uint8_t { kNo, kUnknown, kYes };

  uint32_t slot(const ir::Graph& graph, ir::WindowId id, bool wrapped) {
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].id == id) {
        return static_cast<uint32_t>(i);
      }
    }
    const ir::Window& w = graph.windows[id];
    slots_.push_back({id, w, graph.buffers[w.buffer].nbytes, wrapped});
    return static_cast<uint32_t>(slots_.size() - 1);
  }

  void add_argument(const ir::Graph& graph, const c10::Argument& argument, const ir::Arg& arg) {
    const c10::Type& type = without_optional(*argument.real_type());
    Patch patch{Patch::Kind::kTensor, static_cast<uint32_t>(template_.size())};
    switch (arg.kind) {
      case ir::Arg::Kind::kNone:
        argument.real_type()->kind() == c10::TypeKind::TensorType ? template_.emplace_back(at::Tensor()) : template_.emplace_back();
        return;
      case ir::Arg::Kind::kConst:
        template_.push_back(host_constant(argument, arg.value));
        return;
      case ir::Arg::Kind::kWindow:
        patch.first = slot(graph, arg.index, arg.wrapped);
        break;
      case ir::Arg::Kind::kWindowList:
        patch.kind = type.castRaw<c10::ListType>()->getElementType()->kind() == c10::TypeKind::OptionalType
                         ? Patch::Kind::kOptionalTensorList
                         : Patch::Kind::kTensorList;
        patch.first = static_cast<uint32_t>(items_.size());
        patch.count = arg.count;
        for (uint32_t k = 0; k < arg.count; ++k) {
          const ir::WindowId id = graph.list_items[arg.index + k];
          items_.push_back(id == ir::kNone ? ir::kNone : slot(graph, id, false));
        }
        break;
      case ir::Arg::Kind::kScalar:
      case ir::Arg::Kind::kScalarTensor:
        patch.kind = arg.kind == ir::Arg::Kind::kScalarTensor   ? Patch::Kind::kScalarTensor
                     : type.kind() == c10::TypeKind::NumberType ? Patch::Kind::kNumber
                                                                : Patch::Kind::kFloat;
        patch.scalar = arg.index;
        patch.category = graph.scalars[arg.index].category;
        patch.dtype = arg.dtype;
        patch.wrapped = arg.wrapped;
        break;
    }
    template_.emplace_back();
    patches_.push_back(patch);
  }

  void fill(Stack& stack, const Invocation& invocation, c10::ArrayRef<at::Tensor> tensors) const {
    for (const Patch& p : patches_) {
      c10::IValue& place = stack[p.position];
      switch (p.kind) {
        case Patch::Kind::kTensor:
          place = tensors[p.first];
          break;
        case Patch::Kind::kTensorList: {
          c10::List<at::Tensor> list;
          list.reserve(p.count);
          for (uint32_t k = 0; k < p.count; ++k) {
            const uint32_t item = items_[p.first + k];
            list.push_back(item == ir::kNone ? at::Tensor() : tensors[item]);
          }
          place = std::move(list);
          break;
        }
        case Patch::Kind::kOptionalTensorList: {
          c10::List<std::optional<at::Tensor>> list;
          list.reserve(p.count);
          for (uint32_t k = 0; k < p.count; ++k) {
            const uint32_t item = items_[p.first + k];
            list.push_back(item == ir::kNone ? std::nullopt : std::optional<at::Tensor>(tensors[item]));
          }
          place = std::move(list);
          break;
        }
        case Patch::Kind::kNumber:
          place = scalar_of(p.category, invocation.scalars[p.scalar]);
          break;
        case Patch::Kind::kFloat:
          place = scalar_of(p.category, invocation.scalars[p.scalar]).toDouble();
          break;
        case Patch::Kind::kScalarTensor: {
          at::Tensor t = at::scalar_tensor(scalar_of(p.category, invocation.scalars[p.scalar]), at::TensorOptions().dtype(p.dtype));
          t.unsafeGetTensorImpl()->set_wrapped_number(p.wrapped);
          place = std::move(t);
          break;
        }
      }
    }
  }

  c10::SmallVector<at::Tensor, 2> destinations(c10::ArrayRef<at::Tensor> tensors) const {
    c10::SmallVector<at::Tensor, 2> out;
    for (uint32_t w : writes_) {
      out.push_back(w == ir::kNone ? at::Tensor() : tensors[w]);
    }
    return out;
  }

  // Stores the fresh returns, which stand on the stack in schema order; a mutating op has written the windows of its arguments itself,
  // and those come first among its writes.
  void store(const Stack& stack, c10::ArrayRef<at::Tensor> tensors) const {
    const auto& returns = op_->handle.schema().returns();
    const size_t fresh = static_cast<size_t>(
        std::count_if(returns.begin(), returns.end(), [](const c10::Argument& r) { return r.alias_info() == nullptr; }));
    const size_t begin = stack.size() - returns.size();
    size_t w = mutating_ ? writes_.size() - std::min(fresh, writes_.size()) : 0;
    bool same = true;
    for (size_t i = 0; i < returns.size() && w < writes_.size(); ++i) {
      if (returns[i].alias_info() != nullptr && mutating_) {
        continue;
      }
      const uint32_t target = writes_[w++];
      const c10::IValue& value = stack[begin + i];
      if (target == ir::kNone || !value.isTensor() || !value.toTensor().defined()) {
        same = false;
        continue;
      }
      const at::Tensor &from = value.toTensor(), &to = tensors[target];
      same = same && from.scalar_type() == to.scalar_type() && from.sizes().equals(to.sizes());
      to.copy_(from);
    }
    // The destinations suit the out= overload when they look like what the op returned: seen in the first run, true in all.
    if (direct_.load(std::memory_order_relaxed) == Direct::kUnknown) {
      direct_.store(same ? Direct::kYes : Direct::kNo, std::memory_order_relaxed);
    }
  }

  // Every return is wanted, and no destination shares memory with an argument or with another destination.
  bool writes_are_private(const ir::Graph& graph) const {
    for (size_t i = 0; i < writes_.size(); ++i) {
      if (writes_[i] == ir::kNone || writes_[i] < reads_) {
        return false;
      }
      const ir::BufferId buffer = slots_[writes_[i]].window.buffer;
      for (size_t k = 0; k < slots_.size(); ++k) {
        if (k != writes_[i] && slots_[k].window.buffer == buffer) {
          return false;
        }
      }
    }
    return writes_.size() == op_->handle.schema().returns().size();
  }

  const ir::OpInfo* op_;
  bool mutating_;
  ir::ScalarId rng_;
  Stack template_;  // constants in place, the rest filled by patches_
  std::vector<Patch> patches_;
  std::vector<Slot> slots_;  // of arguments first
  size_t reads_ = 0;
  std::vector<uint32_t> items_;           // slots of list items, or kNone
  c10::SmallVector<uint32_t, 2> writes_;  // slots, or kNone
  Composite composite_ = nullptr;
  mutable std::atomic<Direct> direct_{Direct::kNo};
};

}  // namespace

std::unique_ptr<Step> make_reference_step(const ir::Graph& graph, const ir::Node& node) {
  return std::make_unique<ReferenceStep>(graph, node);
}

}  // namespace torch_hpu::kernels
