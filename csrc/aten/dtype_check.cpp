#include "csrc/aten/dtype_check.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/stack.h>
#include <ATen/ops/full.h>

#include <mutex>
#include <set>
#include <sstream>

namespace torch_hpu::aten {
namespace {

// What is not an error on this device though ATen's CPU kernels lack it: half precisions are computed in float.
bool is_half(c10::ScalarType t) {
  return t == c10::ScalarType::Half || t == c10::ScalarType::BFloat16;
}

// What native_group_norm is told of its tensors' sizes.
bool tells_sizes(const c10::Argument& argument) {
  const std::string& name = argument.name();
  return name == "N" || name == "C" || name == "HxW" || name == "group";
}

// One element in the place of each tensor. Elementwise ops get ones, which can be divided by; to others zero is a valid index. Random ops draw
// from a generator of their own. Nothing when they take none.
std::optional<torch::jit::Stack> single_elements(const ir::OpInfo& op, c10::ArrayRef<c10::IValue> arguments) {
  torch::jit::Stack stack;
  bool draws = op.random;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const c10::IValue& value = arguments[i];
    const c10::Argument& argument = op.handle.schema().arguments()[i];
    if (op.random && value.isNone() && argument.name() == "generator") {
      stack.emplace_back(at::make_generator<at::CPUGeneratorImpl>());
      draws = false;
      continue;
    }
    if (tells_sizes(argument)) {
      stack.emplace_back(int64_t{1});
      continue;
    }
    if (!value.isTensor()) {
      const bool tensors = value.isTensorList() || (value.isList() && !value.toListRef().empty() && value.toListRef()[0].isTensor());
      if (tensors || value.isGenerator() || value.isDevice()) {
        return std::nullopt;
      }
      stack.push_back(value);
      continue;
    }
    const at::Tensor& tensor = value.toTensor();
    if (!tensor.defined()) {
      stack.emplace_back(tensor);
      continue;
    }
    if (is_half(tensor.scalar_type())) {
      return std::nullopt;
    }
    const std::vector<int64_t> sizes(static_cast<size_t>(tensor.dim()), 1);
    stack.emplace_back(at::full(sizes, ir::elementwise(op) ? 1 : 0, at::device(at::kCPU).dtype(tensor.scalar_type())));
  }
  return draws ? std::nullopt : std::optional(std::move(stack));
}

// The op, and dtypes and ranks of its tensors: what decides about the error. Other arguments that matter (a rounding mode) are rare.
std::vector<int64_t> signature(const ir::OpInfo& op, c10::ArrayRef<c10::IValue> arguments) {
  std::vector<int64_t> words{static_cast<int64_t>(op.id)};
  for (const c10::IValue& value : arguments) {
    if (value.isTensor() && value.toTensor().defined()) {
      words.push_back(static_cast<int64_t>(value.toTensor().scalar_type()) << 8 | value.toTensor().dim());
    } else {
      words.push_back(value.isDouble() ? -2 : value.isInt() ? -3 : value.isBool() ? -4 : -1);  // a number's kind promotes
    }
  }
  return words;
}

std::string dtypes(c10::ArrayRef<c10::IValue> arguments) {
  std::ostringstream out;
  for (const c10::IValue& value : arguments) {
    if (value.isTensor() && value.toTensor().defined()) {
      out << (out.tellp() == 0 ? "" : ", ") << value.toTensor().scalar_type();
    }
  }
  return out.str();
}

struct Seen {
  std::mutex mutex;
  std::set<std::vector<int64_t>> accepted;
};

Seen& seen() {
  static auto* instance = new Seen;
  return *instance;
}

}  // namespace

void check_dtypes(const ir::OpInfo& op, c10::ArrayRef<c10::IValue> arguments) {
  std::vector<int64_t> words = signature(op, arguments);
  {
    const std::lock_guard<std::mutex> lock(seen().mutex);
    if (seen().accepted.contains(words)) {
      return;
    }
  }
  // Some library ops exist for accelerators only.
  const bool asks = op.op_class == ir::OpClass::kLowered || op.handle.hasKernelForDispatchKey(c10::DispatchKey::CPU);
  if (std::optional<torch::jit::Stack> stack = asks ? single_elements(op, arguments) : std::nullopt) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    try {
      op.handle.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &*stack);
    } catch (const c10::NotImplementedError& e) {
      TORCH_CHECK_NOT_IMPLEMENTED(false, "[", op.name, "] ", e.what_without_backtrace(), ": got ", dtypes(arguments));
    } catch (const c10::Error& e) {
      // Of other ops a single element may be wrong in shape.
      TORCH_CHECK(!ir::elementwise(op), "[", op.name, "] ", e.what_without_backtrace(), ": got ", dtypes(arguments));
    }
  }
  const std::lock_guard<std::mutex> lock(seen().mutex);
  seen().accepted.insert(std::move(words));
}

}  // namespace torch_hpu::aten
