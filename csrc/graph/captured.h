// A closed capture, compiled and bound for ever: replaying it is a loop over its steps.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "csrc/lazy/trace.h"
#include "csrc/recipe/recipe.h"

namespace torch_hpu::graph {

class Captured {
 public:
  // Compiles the trace and gives its outputs and arena memory of `pool`. On failure the capture is dropped (its tensors are failed).
  Captured(std::unique_ptr<lazy::Trace> trace, device::PoolId pool);
  ~Captured();  // waits for queued runs

  // What one run reads or writes in the place of a captured buffer: `memory` from byte `offset` on, with the layout of the captured one.
  struct Replacement {
    ir::BufferId buffer;
    lazy::MemoryPtr memory;
    int64_t offset = 0;
  };

  // Puts one run into the queue of `stream`, after everything recorded there. Somebody else keeps the replacements alive during the call.
  void replay(c10::Stream stream, std::vector<Replacement> replacements = {});

  // From now on `replacement` stands for the input `captured`: same dtype, sizes, strides and offset.
  void rebind(const at::Tensor& captured, const at::Tensor& replacement);

  // The buffer that stands for the tensor's storage; null when the graph does not use it.
  const ir::Buffer* buffer_of(const at::Tensor& tensor) const;
  size_t index_of(const at::Tensor& tensor) const;  // its BufferId; the number of buffers when there is none

  // Whether a run uses the memory, unless it is replaced.
  bool holds(const lazy::Memory& memory) const;

  // From now on runs measure their steps.
  void measure();

  // What one step of the recipe did.
  struct StepReport {
    std::string name;
    StepKind kind;
    int64_t bytes = 0;  // read and written by a run
    uint64_t runs = 0;
    double seconds = 0;
  };
  std::vector<StepReport> steps() const;

  const lazy::Trace& trace() const;
  device::PoolId pool() const;
  const Recipe& recipe() const;
  // Bytes: "arena" (what its scratch needs; shared within a pool), "outputs", "inputs". Counts: "steps", "kernels", "library_calls",
  // "extern_calls".
  std::map<std::string, int64_t> statistics() const;

 private:
  size_t index_of(const lazy::Memory& memory) const;

  struct State;  // shared with queued runs
  std::shared_ptr<State> state_;
};

}  // namespace torch_hpu::graph
