// The last call of a wrapped function, kept so that the next one like it finds its graph at once: Python's own search for it takes longer than
// the replay of a small graph.
#pragma once

#include <pybind11/pybind11.h>
#include <torch_hpu/graph_call.h>

#include <vector>

namespace torch_hpu::python {

// Arguments as Python hands them to a callable: the named ones stand behind the positional ones.
struct Arguments {
  PyObject* const* values;
  size_t positional;
  PyObject* names;  // a tuple; null: none

  size_t named() const {
    return names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(names));
  }
};

class LatestCall {
 public:
  // training: of the module, if it is one, compared by identity. Calls are found again when their arguments are tensors or None and results is a
  // tensor or a plain tuple of tensors.
  LatestCall(pybind11::object call, const Arguments& arguments, const pybind11::object& results, pybind11::object training);

  // The results: a new reference; null, without an error, when this call is not like the last one.
  PyObject* operator()(const Arguments& arguments, PyObject* training);

 private:
  // The modes that change what a call does.
  struct Context {
    bool autocast;
    c10::ScalarType autocast_dtype;
    bool inference;
    bool operator==(const Context&) const = default;
    static Context now();
  };
  // Whether the arguments are tensors where they were, and None elsewhere. The tensors go into `given`.
  bool match(const Arguments& arguments, std::vector<at::Tensor>& given) const;

  pybind11::object keep_;  // the GraphCall
  GraphCall& call_;
  pybind11::object training_;
  size_t positional_;
  std::vector<pybind11::object> names_;
  std::vector<bool> present_;  // by argument: a tensor, not None
  std::vector<int64_t> signature_;
  Context context_;
  enum class Results : uint8_t { kTensor, kTuple, kOther } results_ = Results::kOther;
  std::vector<at::Tensor> spare_;  // empty, with room for the tensors of a call
};

}  // namespace torch_hpu::python
