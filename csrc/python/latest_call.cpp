#include "csrc/python/latest_call.h"

#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/TracerMode.h>
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
         at::tracer::impl::is_dispatch_enabled() || is_current_stream_capturing();
}

bool is_tensor(PyObject* value) {
  return THPVariable_CheckTypeExact(Py_TYPE(value));
}

bool is_tuple_of_tensors(const py::object& value) {
  if (!PyTuple_CheckExact(value.ptr())) {
    return false;
  }
  for (const py::handle& item : py::reinterpret_borrow<py::tuple>(value)) {
    if (!THPVariable_Check(item.ptr())) {
      return false;
    }
  }
  return true;
}

}  // namespace

LatestCall::Context LatestCall::Context::now() {
  const auto device = c10::DeviceType::PrivateUse1;
  return {at::autocast::is_autocast_enabled(device), at::autocast::get_autocast_dtype(device), c10::InferenceMode::is_enabled()};
}

LatestCall::LatestCall(py::object call, const Arguments& arguments, const py::object& results, py::object training)
    : keep_(std::move(call)),
      call_(keep_.cast<GraphCall&>()),
      training_(std::move(training)),
      positional_(arguments.positional),
      context_(Context::now()) {
  const size_t n = arguments.positional + arguments.named();
  for (size_t k = 0; k < arguments.named(); ++k) {
    names_.push_back(py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(arguments.names, static_cast<Py_ssize_t>(k))));
  }
  for (size_t i = 0; i < n; ++i) {
    present_.push_back(arguments.values[i] != Py_None);
  }
  std::vector<at::Tensor> given;
  if (!match(arguments, given)) {
    return;
  }
  signature_ = StaticInputs::signature(given);
  results_ = THPVariable_Check(results.ptr()) ? Results::kTensor : is_tuple_of_tensors(results) ? Results::kTuple : Results::kOther;
}

bool LatestCall::match(const Arguments& arguments, std::vector<at::Tensor>& given) const {
  if (arguments.positional != positional_ || arguments.named() != names_.size()) {
    return false;
  }
  for (size_t k = 0; k < names_.size(); ++k) {
    PyObject* name = PyTuple_GET_ITEM(arguments.names, static_cast<Py_ssize_t>(k));
    if (name != names_[k].ptr() && PyUnicode_Compare(name, names_[k].ptr()) != 0) {
      return false;
    }
  }
  for (size_t i = 0; i < present_.size(); ++i) {
    PyObject* value = arguments.values[i];
    if (present_[i] ? !is_tensor(value) : value != Py_None) {
      return false;
    }
    if (present_[i]) {
      given.push_back(THPVariable_Unpack(value));
    }
  }
  return true;
}

PyObject* LatestCall::operator()(const Arguments& arguments, PyObject* training) {
  if (results_ == Results::kOther || training != training_.ptr() || modes_active() || context_ != Context::now()) {
    return nullptr;
  }
  std::vector<at::Tensor> given = std::exchange(spare_, {});
  PyObject* returned = nullptr;
  if (match(arguments, given) && StaticInputs::has_signature(given, signature_)) {
    std::vector<at::Tensor> results = call_(given);
    if (results_ == Results::kTensor) {
      returned = THPVariable_Wrap(std::move(results[0]));
    } else {
      py::tuple tuple(results.size());
      for (size_t i = 0; i < results.size(); ++i) {
        tuple[i] = py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(results[i])));
      }
      returned = tuple.release().ptr();
    }
  }
  given.clear();
  spare_ = std::move(given);
  return returned;
}

}  // namespace torch_hpu::python
