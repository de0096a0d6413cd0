// The last call of a wrapped function, kept so that the next one like it finds its graph at once: Python's own search for it takes longer than
// the replay of a small graph.
#pragma once

#include <pybind11/pybind11.h>
#include <torch_hpu/graph_call.h>

#include <string>
#include <vector>

namespace torch_hpu::python {

class LatestCall {
 public:
  // extra: what else decides about the graph, compared by identity. Calls are found again when their arguments are tensors or None and results is a
  // tensor or a plain tuple of tensors.
  LatestCall(pybind11::object call, const pybind11::tuple& args, const pybind11::dict& kwargs, const pybind11::object& results,
             pybind11::object extra);

  // NotImplemented when this call is not like the last one.
  pybind11::object operator()(const pybind11::tuple& args, const pybind11::dict& kwargs, const pybind11::object& extra);

 private:
  // The modes that change what a call does.
  struct Context {
    bool autocast;
    c10::ScalarType autocast_dtype;
    bool inference;
    bool operator==(const Context&) const = default;
    static Context now();
  };
  // False: an argument is neither a tensor nor None, or None where it was none (or the reverse).
  bool flatten(const pybind11::tuple& args, const pybind11::dict& kwargs);

  pybind11::object keep_;  // the GraphCall
  GraphCall& call_;
  pybind11::object extra_;
  size_t positional_;
  std::vector<pybind11::object> names_;
  std::vector<bool> present_;  // by argument: a tensor, not None
  std::vector<int64_t> signature_;
  Context context_;
  enum class Results : uint8_t { kTensor, kTuple, kOther } results_;
  bool first_ = true;                // the constructor's flatten() fills `present_`
  std::vector<at::Tensor> tensors_;  // of the call under way
};

}  // namespace torch_hpu::python
