// HPU Graphs: capture a series of ops once, replay them as one launch. Semantics of CUDA graphs.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "torch_hpu/export.h"

namespace torch_hpu {

namespace graph {
class Captured;
}
namespace lazy {
class CaptureSession;
}

// A memory pool of graphs, by name. Graphs that share one use the same scratch memory; what the tensors made in their captures hold stays
// apart. It gives everything back with its last graph and the last of their tensors.
using GraphPool = std::pair<uint64_t, uint64_t>;
TORCH_HPU_API GraphPool graph_pool_handle();

// What a capture forbids. kGlobal and kThreadLocal: whatever needs the host, on the capturing stream (no call of another thread is unsafe
// here, so they are the same). kRelaxed: the host may read and write tensors that existed before; what it read is frozen into the graph.
enum class CaptureMode : uint8_t { kGlobal, kThreadLocal, kRelaxed };

// A captured graph. Capture: between capture_begin() and capture_end() the ops of the calling thread's current stream (and of autograd
// on that stream, and of streams that wait for it) are recorded and not run. Replay: reads the current bytes of the tensors that existed
// before the capture, and writes the tensors that were made in it, and in-place updates, at the same addresses each time. Random ops
// draw new numbers each time, from the generators that they used in the capture. Scalars are frozen: what changes from replay to replay
// (a learning rate under a schedule) belongs into a tensor. An op that needs the host during capture throws; the capture then must be
// aborted (the guard below does that). Not thread-safe; different graphs are independent of each other.
class TORCH_HPU_API HPUGraph {
 public:
  HPUGraph();
  ~HPUGraph();  // waits for replays that are under way; a capture that is still open is aborted
  HPUGraph(const HPUGraph&) = delete;
  HPUGraph& operator=(const HPUGraph&) = delete;

  // pool {0, 0}: a pool of its own. execute: run the graph once at capture_end(), so that the tensors made in the capture hold values.
  void capture_begin(GraphPool pool = {0, 0}, CaptureMode mode = CaptureMode::kGlobal, bool execute = false);
  void capture_end();             // compiles; when that throws, the capture is dropped
  void capture_abort() noexcept;  // drops an open capture; no-op otherwise. Memory and device are as before it

  // Runs the graph on the current stream, in order with what was recorded there before. Throws when nothing is captured or when an input
  // has been freed.
  void replay();

  // Replays read and write `replacement` where they used `captured`, a tensor that existed before the capture.
  void rebind(const at::Tensor& captured, const at::Tensor& replacement);

  // Gives back everything that the graph owns. The tensors made in the capture keep their bytes.
  void reset();

  GraphPool pool() const;
  bool captured() const;
  // Whether replays use, and whether they write the storage of a tensor.
  bool uses(const at::Tensor& tensor) const;
  bool writes(const at::Tensor& tensor) const;

  // Generators need no registration: this checks that replays can advance the generator.
  void register_generator_state(const at::Generator& generator);

  // Replays measure each step, for debug_dump().
  void enable_debug_mode();
  // Writes <path>: graphviz when it ends in .dot; steps with bytes and measured times when it ends in .json; otherwise text of the recorded
  // and the compiled graph.
  void debug_dump(const std::string& path) const;

  // Sizes in bytes: "arena" (scratch, shared within a pool), "outputs", "inputs", and counts: "steps", "kernels", "library_calls",
  // "extern_calls".
  std::map<std::string, int64_t> statistics() const;

  // Why replays of the two graphs do not do the same work, in words; empty if they do. For two captures of one body: what it froze.
  std::string difference(const HPUGraph& other) const;

 private:
  friend class GraphCall;
  graph::Captured& checked(const char* what) const;
  void release_pool() noexcept;

  std::unique_ptr<lazy::CaptureSession> session_;  // while capturing
  std::unique_ptr<graph::Captured> captured_;
  GraphPool pool_{0, 0};
  bool execute_ = false;
  bool debug_ = false;
};

// capture_begin() and capture_end() as a scope. When the scope is left by an exception the capture is aborted, and memory and device
// are as before.
class TORCH_HPU_API HPUGraphCapture {
 public:
  explicit HPUGraphCapture(HPUGraph& graph, GraphPool pool = {0, 0}, CaptureMode mode = CaptureMode::kGlobal, bool execute = false);
  ~HPUGraphCapture() noexcept(false);
  HPUGraphCapture(const HPUGraphCapture&) = delete;
  HPUGraphCapture& operator=(const HPUGraphCapture&) = delete;

 private:
  HPUGraph& graph_;
  int exceptions_;
};

TORCH_HPU_API bool is_current_stream_capturing();

// One line per live graph: id, pool, bytes of arena, outputs and inputs, steps.
TORCH_HPU_API std::string graph_table();

}  // namespace torch_hpu
