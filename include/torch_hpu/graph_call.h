// A captured function that is called: with other arguments each time, with results of the caller's own.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "torch_hpu/export.h"
#include "torch_hpu/hpu_graph.h"
#include "torch_hpu/static_inputs.h"

namespace torch_hpu {

// Joins a captured graph with the tensors that stood for its arguments and with its results. A call replays the graph on the caller's memory:
// it reads (and writes, where the function does) the given tensors where they are, and puts results into new memory, so nothing is copied.
// Where that is not possible (an argument on another device, one that shares memory with what the graph writes, a result that somebody else
// keeps or that is an argument) it copies. Not thread-safe.
class TORCH_HPU_API GraphCall {
 public:
  // graph: captured, and kept alive by the caller. results: what the function returned in the capture, undefined tensors included, detached: a
  // result that somebody else still shows (a module that keeps it) has another tensor on its storage.
  GraphCall(HPUGraph& graph, StaticInputs inputs, std::vector<at::Tensor> results);

  // The results for arguments of the captured signature (StaticInputs::signature): fresh tensors, detached.
  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& given);

 private:
  struct Input {
    size_t index;   // among the arguments; of those that share a storage the first
    size_t buffer;  // of the graph
    bool whole;     // shares its storage: the storage stands in for the graph's
  };
  struct Result {
    size_t index;
    size_t buffer;
    size_t nbytes;
    bool first;  // of those that share a storage: makes it
  };

  HPUGraph& graph_;
  StaticInputs inputs_;
  std::vector<at::Tensor> results_;
  std::vector<Input> direct_inputs_;
  std::vector<Result> direct_results_;  // with a common storage: one behind the other
  std::vector<size_t> copied_results_;
  bool writes_inputs_ = false;   // or parameters
  bool returns_inputs_ = false;  // views of arguments among the results
};

}  // namespace torch_hpu
