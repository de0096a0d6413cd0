#include "csrc/python/latest_call.h"

#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/autocast_mode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>

#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>

namespace py = pybind11;

namespace torch_hpu::python {
namespace {

bool modes_active() {
  return at::impl::PythonTorchFunctionTLS::stack_len() > 0 || c10::impl::TorchDispatchModeTLS::any_modes_set() ||
         is_current_stream_capturing();
}

}  // namespace

LatestCall::Context LatestCall::Context::now() {
  const auto device = c10::DeviceType::PrivateUse1;
  return {at::autocast::is_autocast_enabled(device), at::autocast::get_autocast_dtype(device), c10::InferenceMode::is_enabled()};
}

LatestCall::LatestCall(py::object call, const py::tuple& args, const py::dict& kwargs, const py::object& results, py::object extra)
    : keep_(std::move(call)),
      call_(keep_.cast<GraphCall&>()),
      extra_(std::move(extra)),
      positional_(args.size()),
      context_(Context::now()),
      results_(Results::kOther) {
  for (const auto& [name, value] : kwargs) {
    names_.push_back(py::reinterpret_borrow<py::object>(name));
  }
  if (flatten(args, kwargs)) {
    signature_ = StaticInputs::signature(tensors_);
    if (THPVariable_Check(results.ptr())) {
      results_ = Results::kTensor;
    } else if (PyTuple_CheckExact(results.ptr())) {
      bool tensors = true;
      for (const py::handle& r : py::reinterpret_borrow<py::tuple>(results)) {
        tensors = tensors && THPVariable_Check(r.ptr());
      }
      results_ = tensors ? Results::kTuple : Results::kOther;
    }
  }
  first_ = false;
  tensors_.clear();
}

bool LatestCall::flatten(const py::tuple& args, const py::dict& kwargs) {
  size_t i = 0;
  const auto add = [&](PyObject* value) {
    const bool tensor = THPVariable_CheckTypeExact(Py_TYPE(value));
    if (!tensor && value != Py_None) {
      return false;
    }
    if (first_) {
      present_.push_back(tensor);
    } else if (present_[i] != tensor) {
      return false;
    }
    ++i;
    if (tensor) {
      tensors_.push_back(THPVariable_Unpack(value));
    }
    return true;
  };
  for (const py::handle& value : args) {
    if (!add(value.ptr())) {
      return false;
    }
  }
  size_t k = 0;
  for (const auto& [name, value] : kwargs) {
    if (!name.is(names_[k]) && !name.equal(names_[k])) {
      return false;
    }
    ++k;
    if (!add(value.ptr())) {
      return false;
    }
  }
  return true;
}

py::object LatestCall::operator()(const py::tuple& args, const py::dict& kwargs, const py::object& extra) {
  const auto other = [&] {
    tensors_.clear();
    return py::reinterpret_borrow<py::object>(Py_NotImplemented);
  };
  if (results_ == Results::kOther || args.size() != positional_ || kwargs.size() != names_.size() || !extra.is(extra_) || modes_active() ||
      context_ != Context::now() || !flatten(args, kwargs) || StaticInputs::signature(tensors_) != signature_) {
    return other();
  }
  const std::vector<at::Tensor> given = std::exchange(tensors_, {});
  std::vector<at::Tensor> results = call_(given);
  if (results_ == Results::kTensor) {
    return py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(results[0])));
  }
  py::tuple tuple(results.size());
  for (size_t i = 0; i < results.size(); ++i) {
    tuple[i] = py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(results[i])));
  }
  return tuple;
}

}  // namespace torch_hpu::python
