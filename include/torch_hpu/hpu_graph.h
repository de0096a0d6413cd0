// HPU Graphs: capture a series of ops once, replay them as one launch. Semantics of CUDA graphs.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

namespace graph {
class Captured;
}

// A memory pool of graphs. Graphs that share one may reuse each other's memory when replayed one after another.
using GraphPool = std::pair<uint64_t, uint64_t>;
TORCH_HPU_API GraphPool graph_pool_handle();

// A captured graph. Capture: between capture_begin() and capture_end() the ops of the calling thread's current stream (and of autograd
// on that stream) are recorded and not run. Replay: reads the current bytes of the tensors that existed before the capture, and
// writes the tensors that were made in it, and in-place updates, at the same addresses each time. Random ops draw new numbers each time.
// An op that needs the host during capture throws; the capture then must be aborted (the guard below does that).
class TORCH_HPU_API HPUGraph {
 public:
  HPUGraph();
  ~HPUGraph();  // waits for replays that are under way; a capture that is still open is aborted
  HPUGraph(const HPUGraph&) = delete;
  HPUGraph& operator=(const HPUGraph&) = delete;

  // pool {0, 0}: a pool of its own. execute: run the graph once at capture_end(), so that the tensors made in the capture hold values.
  void capture_begin(GraphPool pool = {0, 0}, bool execute = false);
  void capture_end();
  void capture_abort() noexcept;  // drops an open capture; no-op otherwise

  // Runs the graph on the current stream, in order with what was recorded there before. Throws when nothing is captured or when an input
  // has been freed.
  void replay();

  // Gives back everything that the graph owns. The tensors made in the capture keep their bytes.
  void reset();

  GraphPool pool() const;
  bool captured() const;

  // Writes <path> (text of the graph and its steps, bytes of arena, outputs and inputs).
  void debug_dump(const std::string& path) const;

  // Sizes in bytes: "arena", "outputs", "inputs", and counts: "steps", "kernels", "library_calls", "extern_calls".
  std::map<std::string, int64_t> statistics() const;

 private:
  std::unique_ptr<graph::Captured> captured_;
  c10::Stream stream_;
  GraphPool pool_{0, 0};
  bool owns_pool_ = false;
  bool capturing_ = false;
  bool execute_ = false;
};

// capture_begin() and capture_end() as a scope. When the scope is left by an exception the capture is aborted, and memory and device
// are as before.
class TORCH_HPU_API HPUGraphCapture {
 public:
  explicit HPUGraphCapture(HPUGraph& graph, GraphPool pool = {0, 0}, bool execute = false);
  ~HPUGraphCapture() noexcept(false);
  HPUGraphCapture(const HPUGraphCapture&) = delete;
  HPUGraphCapture& operator=(const HPUGraphCapture&) = delete;

 private:
  HPUGraph& graph_;
  int exceptions_;
};

TORCH_HPU_API bool is_current_stream_capturing();

// A callable on tensors that captures one graph per distinct input signature (shapes, strides, dtypes) and replays it afterwards. At most
// max_graphs signatures are kept, the least recently used goes first. Inputs are copied into the graph's own tensors; results are fresh
// tensors. Parameters are read where they are. No autograd graph is built.
class TORCH_HPU_API GraphedCallable {
 public:
  using Function = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;
  explicit GraphedCallable(Function function, size_t max_graphs = 10);
  ~GraphedCallable();
  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& inputs);
  at::Tensor operator()(const at::Tensor& input);  // one input, one output
  size_t graphs() const;
  void clear();

 private:
  struct Entry;
  Function function_;
  size_t max_graphs_;
  std::vector<std::unique_ptr<Entry>> entries_;  // most recently used first
};

// wrap_in_hpu_graph(module) for any module with `at::Tensor forward(at::Tensor)` behind operator->, or any callable from a tensor to a tensor.
template <typename Module>
GraphedCallable wrap_in_hpu_graph(Module module, size_t max_graphs = 10) {
  return GraphedCallable(
      [module](const std::vector<at::Tensor>& inputs) mutable -> std::vector<at::Tensor> {
        if constexpr (std::is_invocable_v<Module&, const at::Tensor&>) {
          return {module(inputs.at(0))};
        } else {
          return {module->forward(inputs.at(0))};
        }
      },
      max_graphs);
}

}  // namespace torch_hpu
