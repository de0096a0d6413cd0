// The type torch_hpu._C.WrappedFunction, made by hand for its call (PEP 590), and to be what a Python function is to others: attributes,
// methods of classes, weak references, copies that are the same object.
#include "csrc/python/wrapped_function.h"

#include <structmember.h>
#include <torch_hpu/device.h>
#include <torch_hpu/lazy.h>

#include <torch/csrc/Exceptions.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "csrc/python/latest_call.h"

namespace py = pybind11;

namespace torch_hpu::python {
namespace {

struct WrappedFunction {
  PyObject_HEAD;
  vectorcallfunc vectorcall;
  PyObject* attributes;
  PyObject* weak_references;
  PyObject* search;   // called when the call is not like the last one
  PyObject* module;   // whose forward() it is, or None
  PyObject* forward;  // of what stands for the module's whole call: the WrappedFunction that is its forward(); else null
  std::shared_ptr<LatestCall> latest;
};

WrappedFunction& self_of(PyObject* object) {
  return *reinterpret_cast<WrappedFunction*>(object);
}

// An attribute that torch.nn.Module keeps in the instance itself, borrowed; null when it is not there.
PyObject* own_attribute(const py::object& attributes, const py::str& name) {
  PyObject* value = PyDict_GetItemWithError(attributes.ptr(), name.ptr());
  if (value == nullptr && PyErr_Occurred() != nullptr) {
    throw py::error_already_set();
  }
  return value;
}

py::object attributes_of(PyObject* module) {
  PyObject* attributes = PyObject_GenericGetDict(module, nullptr);
  if (attributes == nullptr) {
    throw py::error_already_set();
  }
  return py::reinterpret_steal<py::object>(attributes);
}

// module.training, borrowed; None for functions.
PyObject* training_of(const WrappedFunction& self) {
  static const auto* name = new py::str("training");
  PyObject* training = self.module == Py_None ? nullptr : own_attribute(attributes_of(self.module), *name);
  return training == nullptr ? Py_None : training;
}

// Whether a call of the module is a call of `forward` and nothing else: see torch.nn.Module._call_impl.
bool leads_to(PyObject* module, PyObject* forward) {
  static const auto* of_module = new std::vector<py::str>{"_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks"};
  static const auto* of_all = [] {
    const auto source = py::module_::import("torch.nn.modules.module");
    auto* hooks = new std::vector<py::object>;
    for (const char* name :
         {"_global_forward_pre_hooks", "_global_forward_hooks", "_global_backward_hooks", "_global_backward_pre_hooks"}) {
      hooks->push_back(source.attr(name));
    }
    return hooks;
  }();
  static const auto* name_of_forward = new py::str("forward");
  const auto empty = [](PyObject* hooks) { return hooks != nullptr && PyDict_Check(hooks) && PyDict_GET_SIZE(hooks) == 0; };
  const py::object attributes = attributes_of(module);
  return own_attribute(attributes, *name_of_forward) == forward &&
         std::all_of(of_all->begin(), of_all->end(), [&](const py::object& hooks) { return empty(hooks.ptr()); }) &&
         std::all_of(of_module->begin(), of_module->end(), [&](const py::str& name) { return empty(own_attribute(attributes, name)); });
}

PyObject* call(PyObject* object, PyObject* const* values, size_t flags, PyObject* names) {
  HANDLE_TH_ERRORS
  const WrappedFunction& self = self_of(object);
  const std::shared_ptr<LatestCall> latest = self.forward == nullptr ? self.latest : self_of(self.forward).latest;
  if (latest != nullptr && (self.forward == nullptr || leads_to(self.module, self.forward))) {
    const Arguments arguments{values, static_cast<size_t>(PyVectorcall_NARGS(flags)), names};
    if (PyObject* results = (*latest)(arguments, training_of(self))) {
      return results;
    }
  }
  TORCH_CHECK(self.search != nullptr, "[wrap_in_hpu_graph] the wrapped function has been garbage-collected");
  return PyObject_Vectorcall(self.search, values, flags, names);
  END_HANDLE_TH_ERRORS
}

// WrappedFunction(search, module, forward=None)
PyObject* make(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject *search = nullptr, *module = nullptr, *forward = nullptr;
  if (!PyArg_ParseTuple(args, "OO|O!", &search, &module, type, &forward)) {
    return nullptr;
  }
  PyObject* object = type->tp_alloc(type, 0);
  if (object != nullptr) {
    WrappedFunction& self = self_of(object);
    self.vectorcall = &call;
    self.search = Py_NewRef(search);
    self.module = Py_NewRef(module);
    self.forward = Py_XNewRef(forward);
    new (&self.latest) std::shared_ptr<LatestCall>();
  }
  return object;
}

int traverse(PyObject* object, visitproc visit, void* arg) {
  const WrappedFunction& self = self_of(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self.attributes);
  Py_VISIT(self.search);
  Py_VISIT(self.module);
  Py_VISIT(self.forward);
  return 0;
}

int clear(PyObject* object) {
  WrappedFunction& self = self_of(object);
  Py_CLEAR(self.attributes);
  Py_CLEAR(self.search);
  Py_CLEAR(self.module);
  Py_CLEAR(self.forward);
  self.latest = nullptr;
  return 0;
}

void destroy(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  PyObject_ClearWeakRefs(object);
  clear(object);
  std::destroy_at(&self_of(object).latest);
  type->tp_free(object);
  Py_DECREF(type);
}

PyObject* bind_to(PyObject* object, PyObject* instance, PyObject*) {
  return instance == nullptr || instance == Py_None ? Py_NewRef(object) : PyMethod_New(object, instance);
}

// remember(call: GraphCall, args: tuple, kwargs: dict, results): the next call like this one is answered by `call`.
PyObject* remember(PyObject* object, PyObject* args) {
  HANDLE_TH_ERRORS
  PyObject *call = nullptr, *positional = nullptr, *named = nullptr, *results = nullptr;
  if (!PyArg_ParseTuple(args, "OO!O!O", &call, &PyTuple_Type, &positional, &PyDict_Type, &named, &results)) {
    return nullptr;
  }
  std::vector<PyObject*> values;
  for (const py::handle& value : py::reinterpret_borrow<py::tuple>(positional)) {
    values.push_back(value.ptr());
  }
  py::list names;
  for (const auto& [name, value] : py::reinterpret_borrow<py::dict>(named)) {
    names.append(name);
    values.push_back(value.ptr());
  }
  WrappedFunction& self = self_of(object);
  const py::tuple all_names(names);
  self.latest =
      std::make_shared<LatestCall>(py::reinterpret_borrow<py::object>(call),
                                   Arguments{values.data(), static_cast<size_t>(PyTuple_GET_SIZE(positional)), all_names.ptr()},
                                   py::reinterpret_borrow<py::object>(results), py::reinterpret_borrow<py::object>(training_of(self)));
  Py_RETURN_NONE;
  END_HANDLE_TH_ERRORS
}

PyObject* forget(PyObject* object, PyObject*) {
  self_of(object).latest = nullptr;
  Py_RETURN_NONE;
}

PyObject* itself(PyObject* object, PyObject*) {
  return Py_NewRef(object);
}

// A function is pickled by its name, and copied as itself.
PyObject* reduce(PyObject* object, PyObject*) {
  return PyObject_GetAttrString(object, "__qualname__");
}

PyMethodDef methods[] = {
    {"remember", &remember, METH_VARARGS, nullptr}, {"forget", &forget, METH_NOARGS, nullptr},
    {"__reduce__", &reduce, METH_NOARGS, nullptr},  {"__copy__", &itself, METH_NOARGS, nullptr},
    {"__deepcopy__", &itself, METH_O, nullptr},     {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(WrappedFunction, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(WrappedFunction, attributes), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(WrappedFunction, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef properties[] = {
    {"__dict__", &PyObject_GenericGetDict, &PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

template <class F>
PyType_Slot slot(int id, F value) {
  return {id, reinterpret_cast<void*>(value)};
}

PyObject* synchronize_now(PyObject*, PyObject*) {
  HANDLE_TH_ERRORS
  synchronize();
  Py_RETURN_NONE;
  END_HANDLE_TH_ERRORS
}

PyMethodDef functions[] = {
    {"synchronize", &synchronize_now, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void bind_wrapped_function(py::module_& m) {
  PyType_Slot slots[] = {
      slot(Py_tp_new, &make),          slot(Py_tp_dealloc, &destroy),
      slot(Py_tp_traverse, &traverse), slot(Py_tp_clear, &clear),
      slot(Py_tp_descr_get, &bind_to), slot(Py_tp_call, &PyVectorcall_Call),
      slot(Py_tp_methods, methods),    slot(Py_tp_members, members),
      slot(Py_tp_getset, properties),  {0, nullptr},
  };
  PyType_Spec spec{"torch_hpu._C.WrappedFunction", sizeof(WrappedFunction), 0,
                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, slots};
  m.attr("WrappedFunction") = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (PyModule_AddFunctions(m.ptr(), functions) != 0) {
    throw py::error_already_set();
  }
}

}  // namespace torch_hpu::python
