#include "csrc/aten/boxed.h"

#include <ATen/MemoryOverlap.h>

#include "csrc/aten/custom_op.h"
#include "csrc/aten/dtype_check.h"
#include "csrc/aten/resize.h"
#include "csrc/device/device.h"
#include "csrc/ir/op_registry.h"
#include "csrc/lazy/record.h"
#include "csrc/support/counters.h"
#include "csrc/support/env.h"
#include "csrc/support/log.h"

namespace torch_hpu::aten {
namespace {

using lazy::Call;
using torch::jit::Stack;

bool is_hpu(const at::Tensor& t) {
  return t.unsafeGetTensorImpl()->device_type() == c10::DeviceType::PrivateUse1;
}

// What the arguments of a call tell besides the call itself.
struct Parsed {
  Call call;
  c10::DeviceIndex device = -1;
  const at::Tensor* first = nullptr;  // the tensor that fixed the device
};

void check_device(const ir::OpInfo& op, const at::Tensor& tensor, Parsed& parsed) {
  const c10::Device device = tensor.device();
  if (parsed.device < 0) {
    parsed.device = device.index();
    return;
  }
  TORCH_CHECK(device.index() == parsed.device, "[", op.name, "] tensors are on different devices: got ", device,
              " and hpu:", static_cast<int>(parsed.device), ", expected all tensors on one device");
}

[[noreturn]] void throw_foreign_device(const ir::OpInfo& op, const c10::FunctionSchema& schema, size_t arg, const at::Tensor& tensor) {
  TORCH_CHECK(false, "[", op.name, "] argument '", schema.arguments()[arg].name(), "' is on ", tensor.device(),
              ", expected hpu: all tensors of an op must be on one device (only 0-dim CPU tensors may be mixed in). Move it"
              " with .to(\"hpu\").");
}

// Index tensors may live on the host, as on any accelerator.
bool takes_host_indices(const ir::OpInfo& op) {
  return op.name == "aten::index.Tensor" || op.name == "aten::index_put" || op.name == "aten::_index_put_impl" ||
         op.name == "aten::_unsafe_index.Tensor" || op.name == "aten::_unsafe_index_put";
}

// Whether a mask is among the indices of x[...]: then the size of the result depends on data.
bool indexed_by_mask(const c10::IValue& indices) {
  for (const c10::IValue& item : indices.toListRef()) {
    if (!item.isNone() && item.toTensor().defined() &&
        (item.toTensor().scalar_type() == c10::ScalarType::Bool || item.toTensor().scalar_type() == c10::ScalarType::Byte)) {
      return true;
    }
  }
  return false;
}

// A dtype that `_copy` could not store silently: the ATen rule for in-place results.
void check_cast(const ir::OpInfo& op, c10::ScalarType from, c10::ScalarType to) {
  TORCH_CHECK(c10::canCast(from, to), "[", op.name, "] result type ", from, " can't be cast to the desired output type ", to);
}

void check_written(const ir::OpInfo& op, const at::Tensor& tensor) {
  TORCH_CHECK(at::has_internal_overlap(tensor.unsafeGetTensorImpl()) != at::MemOverlap::Yes, "[", op.name,
              "] unsupported operation: more than one element of the written-to tensor refers to a single memory location."
              " Please clone() the tensor before performing the operation.");
}

// Ops whose result at one element depends on other elements too may not read what they write, unless it is the same window.
void check_partial_overlap(const ir::OpInfo& op, const at::Tensor& written, const Stack& stack, size_t begin, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const c10::IValue& v = stack[begin + i];
    if (!v.isTensor() || !v.toTensor().defined() || v.toTensor().unsafeGetTensorImpl() == written.unsafeGetTensorImpl() ||
        !is_hpu(v.toTensor()) || !v.toTensor().storage().is_alias_of(written.storage())) {
      continue;
    }
    TORCH_CHECK(at::get_overlap_status(written.unsafeGetTensorImpl(), v.toTensor().unsafeGetTensorImpl()) != at::MemOverlapStatus::Partial,
                "[", op.name,
                "] unsupported operation: some elements of the input tensor and the written-to tensor refer to a"
                " single memory location. Please clone() the tensor before performing the operation.");
  }
}

Counter counter_of(ir::OpClass op_class) {
  return op_class == ir::OpClass::kBreaking ? Counter::kBreakingCalls : Counter::kInferCalls;
}

void note_fallback(const ir::OpInfo& op) {
  const std::string& policy = options().fallback;
  TORCH_CHECK(policy != "error", "[", op.name, "] has no compiled kernel, and TORCH_HPU_FALLBACK=error forbids its ATen CPU kernel");
  if (policy == "warn") {
    TORCH_WARN_ONCE("[hpu] ", op.name, " runs on its ATen CPU kernel");
  }
}

// Whether every return is a tensor: what a node can express.
bool returns_tensors(const c10::FunctionSchema& schema) {
  for (const c10::Argument& r : schema.returns()) {
    if (r.type()->kind() != c10::TypeKind::TensorType) {
      return false;
    }
  }
  return true;
}

}  // namespace

BoxedKernel::BoxedKernel(const c10::OperatorHandle& handle)
    : info_(&ir::op_info(handle)), recorded_(info_), recorded_args_(handle.schema().arguments().size()) {
  const c10::FunctionSchema& schema = handle.schema();
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    const c10::Argument& argument = schema.arguments()[i];
    c10::TypePtr type = argument.real_type();
    if (type->kind() == c10::TypeKind::OptionalType) {
      type = type->castRaw<c10::OptionalType>()->getElementType();
    }
    Kind kind = Kind::kConst;
    if (type->kind() == c10::TypeKind::TensorType) {
      kind = Kind::kTensor;
    } else if (type->kind() == c10::TypeKind::ListType) {
      c10::TypePtr element = type->castRaw<c10::ListType>()->getElementType();
      if (element->kind() == c10::TypeKind::OptionalType) {
        element = element->castRaw<c10::OptionalType>()->getElementType();
      }
      kind = element->kind() == c10::TypeKind::TensorType ? Kind::kTensorList : Kind::kConst;
    } else if (type->kind() == c10::TypeKind::NumberType || type->kind() == c10::TypeKind::FloatType) {
      const bool structural = i < 64 && (info_->structural >> i & 1 || (info_->functional && info_->functional->structural >> i & 1));
      kind = structural ? Kind::kConst : Kind::kNumber;
    } else if (type->kind() == c10::TypeKind::GeneratorType) {
      kind = Kind::kGenerator;
    }
    kinds_.push_back(kind);
  }
  if (info_->functional != nullptr) {
    recorded_ = info_->functional;
    recorded_args_ = recorded_->handle.schema().arguments().size();
    out_ = schema.arguments().size() > recorded_args_;
    in_place_ = !out_;
  }
  may_be_masked_ = recorded_->name == "aten::index.Tensor";
}

void BoxedKernel::run_breaking(const c10::OperatorHandle& handle, Stack* stack) const {
  count(Counter::kBreakingCalls);
  count_detail(Counter::kBreakingCalls, info_->name);
  run_now(*info_, handle, stack);
}

void BoxedKernel::operator()(const c10::OperatorHandle& handle, c10::DispatchKeySet, Stack* stack) const {
  const c10::FunctionSchema& schema = handle.schema();
  const size_t n_args = kinds_.size();
  const size_t begin = stack->size() - n_args;
  const size_t n_returns = schema.returns().size();
  const ir::OpInfo& op = *recorded_;

  if (info_->op_class == ir::OpClass::kBreaking || op.op_class == ir::OpClass::kBreaking || !returns_tensors(schema) ||
      (info_->is_view && info_->mutated.empty()) || (may_be_masked_ && indexed_by_mask((*stack)[begin + 1]))) {
    run_breaking(handle, stack);
    return;
  }

  Parsed parsed{Call(op)};
  Call& call = parsed.call;
  std::vector<at::Tensor> moved;  // host index tensors, copied to the device
  for (size_t i = 0; i < recorded_args_; ++i) {
    const c10::IValue& value = (*stack)[begin + i];
    switch (kinds_[i]) {
      case Kind::kTensor: {
        if (value.isNone() || !value.toTensor().defined()) {
          call.none();
          break;
        }
        const at::Tensor& tensor = value.toTensor();
        if (is_hpu(tensor)) {
          check_device(op, tensor, parsed);
          call.tensor(tensor);
        } else {
          if (tensor.dim() != 0 || !tensor.device().is_cpu()) {
            throw_foreign_device(*info_, schema, i, tensor);
          }
          call.scalar_tensor(tensor);
        }
        break;
      }
      case Kind::kTensorList: {
        const bool optional = !value.isTensorList();
        const size_t n = value.isNone() ? 0 : optional ? value.toListRef().size() : value.toTensorList().size();
        call.begin_list(n);
        for (size_t k = 0; k < n; ++k) {
          at::Tensor item =
              optional ? (value.toListRef()[k].isNone() ? at::Tensor() : value.toListRef()[k].toTensor()) : value.toTensorList().get(k);
          if (item.defined() && !is_hpu(item)) {
            if (!takes_host_indices(op)) {
              throw_foreign_device(*info_, schema, i, item);
            }
            TORCH_CHECK(parsed.device >= 0, "[", op.name, "] expected a tensor on hpu before the host index");
            moved.push_back(item.to(c10::Device(c10::DeviceType::PrivateUse1, parsed.device)));
            item = moved.back();
          }
          if (item.defined()) {
            check_device(op, item, parsed);
          }
          call.list_item(item);
        }
        break;
      }
      case Kind::kNumber:
        if (value.isNone()) {
          call.none();
        } else if (ir::is_structure(op, i, value)) {
          call.constant(value);
        } else {
          call.number(value.toScalar());
        }
        break;
      case Kind::kConst:
        value.isNone() ? call.none() : call.constant(value);
        break;
      case Kind::kGenerator:
        if (!value.isNone() && value.toGenerator().defined()) {
          call.generator = value.toGenerator();
          TORCH_CHECK(call.generator.device().type() == c10::DeviceType::PrivateUse1, "[", op.name, "] got a generator on ",
                      call.generator.device(), ", expected one on hpu");
        }
        call.none();
        break;
    }
  }
  for (size_t i = recorded_args_; i < n_args && parsed.device < 0; ++i) {
    check_device(op, (*stack)[begin + i].toTensor(), parsed);
  }
  if (parsed.device < 0) {  // factories: the device is an argument, or the current one
    for (size_t i = 0; i < n_args; ++i) {
      if ((*stack)[begin + i].isDevice()) {
        parsed.device = (*stack)[begin + i].toDevice().index();
      }
    }
    if (parsed.device < 0) {
      parsed.device = c10::impl::getDeviceGuardImpl(c10::DeviceType::PrivateUse1)->getDevice().index();
    }
  }

  if (op.op_class == ir::OpClass::kExtern) {
    note_fallback(op);
  }

  // Ops that write their arguments themselves. Those with out= arguments and no functional overload (arange) may resize them: their
  // sizes are learned too.
  const bool mutating = !in_place_ && !out_ && info_->writes(c10::ArrayRef<c10::IValue>(*stack).slice(begin));
  const bool resizes = mutating && schema.arguments().back().is_out();
  const size_t aliased = mutating ? std::count_if(schema.returns().begin(), schema.returns().end(),
                                                  [](const c10::Argument& r) { return r.alias_info() != nullptr; })
                                  : 0;

  std::shared_ptr<const lazy::Metas> metas =
      lazy::infer(call, [&] { check_dtypes(op, c10::ArrayRef<c10::IValue>(stack->data() + begin, recorded_args_)); });
  if (metas == nullptr && mutating && !resizes && aliased == n_returns) {
    metas = std::make_shared<const lazy::Metas>();  // nothing fresh: there is nothing to learn
  }
  if (metas == nullptr && is_custom(op)) {
    metas = ask_meta(op, call, c10::ArrayRef<c10::IValue>(stack->data() + begin, recorded_args_), resizes ? 0 : aliased);
    if (metas == nullptr) {
      run_breaking(handle, stack);
      return;
    }
  }
  if (metas == nullptr) {
    // Never seen: run the overload that makes fresh tensors (in a capture on zeros, apart from everything) and remember what they look like.
    count(counter_of(op.op_class));
    count_detail(Counter::kInferCalls, op.name);
    const bool dry = lazy::records_into_capture(call, parsed.device);
    const c10::OperatorHandle& teacher = mutating ? handle : op.handle;
    const auto first = stack->begin() + static_cast<int64_t>(begin);
    Stack scratch(first, first + static_cast<int64_t>(mutating ? n_args : recorded_args_));
    dry ? run_dry(teacher, &scratch) : run_now(mutating ? *info_ : op, teacher, &scratch);
    lazy::Metas learned = metas_of_returns(scratch, teacher.schema().returns().size());
    if (mutating && !resizes) {
      learned.erase(learned.begin(), learned.begin() + static_cast<int64_t>(aliased));
    }
    lazy::learn(call, learned);
    if (!in_place_ && !out_ && !dry) {
      torch::jit::drop(*stack, n_args);
      for (c10::IValue& v : scratch) {
        stack->push_back(std::move(v));
      }
      return;
    }
    metas = std::make_shared<const lazy::Metas>(std::move(learned));
  }

  if (resizes) {
    size_t i = 0;
    for (uint32_t m : info_->mutated) {
      const at::Tensor out = (*stack)[begin + m].toTensor();
      const ir::TensorMeta& meta = metas->at(i++);
      if (!out.sizes().equals(meta.sizes)) {
        resize_output(out, meta.sizes, meta.strides);
        call.refresh(call.args[m].index, out);
      }
    }
    metas = std::make_shared<const lazy::Metas>();  // nothing fresh
  }
  if (mutating) {
    c10::SmallVector<ir::WindowId, 2> written;
    std::vector<at::Tensor> aliases;
    for (uint32_t m : info_->mutated) {
      const ir::Arg& arg = call.args[m];
      if (arg.kind == ir::Arg::Kind::kWindow) {
        written.push_back(arg.index);
        check_written(op, (*stack)[begin + m].toTensor());
        aliases.push_back((*stack)[begin + m].toTensor());
      } else if (arg.kind == ir::Arg::Kind::kWindowList) {
        for (uint32_t k = 0; k < arg.count; ++k) {
          written.push_back(call.list_items[arg.index + k]);
        }
      }
    }
    std::vector<at::Tensor> fresh = lazy::record_mutating(call, written, *metas, parsed.device);
    torch::jit::drop(*stack, n_args);
    for (size_t i = 0; i < aliased; ++i) {
      stack->push_back(aliases.at(i));
    }
    for (at::Tensor& t : fresh) {
      stack->push_back(std::move(t));
    }
    return;
  }

  if (!in_place_ && !out_) {
    std::vector<at::Tensor> fresh = lazy::record(call, *metas, {}, parsed.device);
    torch::jit::drop(*stack, n_args);
    for (at::Tensor& t : fresh) {
      stack->push_back(std::move(t));
    }
    return;
  }

  std::vector<at::Tensor> results;
  c10::SmallVector<lazy::Destination, 2> destinations;
  if (in_place_) {
    const at::Tensor self = (*stack)[begin].toTensor();
    const ir::TensorMeta& meta = metas->at(0);
    TORCH_CHECK(self.sizes().equals(meta.sizes), "[", info_->name, "] output with shape ", self.sizes(),
                " doesn't match the broadcast shape ", c10::IntArrayRef(meta.sizes));
    check_cast(*info_, meta.dtype, self.scalar_type());
    check_written(*info_, self);
    check_partial_overlap(*info_, self, *stack, begin, recorded_args_);
    TORCH_CHECK(call.args[0].kind == ir::Arg::Kind::kWindow, "[", info_->name, "] cannot write a CPU tensor from hpu tensors");
    destinations.push_back({call.args[0].index});
    results.push_back(self);
  } else {
    for (size_t i = recorded_args_; i < n_args; ++i) {
      const at::Tensor out = (*stack)[begin + i].toTensor();
      if (!is_hpu(out)) {
        throw_foreign_device(*info_, schema, i, out);
      }
      const ir::TensorMeta& meta = metas->at(i - recorded_args_);
      check_cast(*info_, meta.dtype, out.scalar_type());
      if (!out.sizes().equals(meta.sizes)) {
        resize_output(out, meta.sizes, meta.strides);
      }
      check_written(*info_, out);
      check_partial_overlap(*info_, out, *stack, begin, recorded_args_);
      destinations.push_back({call.extra_window(out)});
      results.push_back(out);
    }
  }
  lazy::record(call, *metas, destinations, parsed.device);
  torch::jit::drop(*stack, n_args);
  for (at::Tensor& t : results) {
    stack->push_back(std::move(t));
  }
}

}  // namespace torch_hpu::aten
