// A closed capture, compiled and bound for ever: replaying it is a loop over its steps.
#pragma once

#include <c10/core/Stream.h>

#include <map>
#include <memory>
#include <string>

#include "csrc/lazy/trace.h"
#include "csrc/recipe/recipe.h"

namespace torch_hpu::graph {

class Captured {
 public:
  // Compiles the trace and gives its outputs and arena memory of `pool`.
  Captured(std::unique_ptr<lazy::Trace> trace, device::PoolId pool);
  ~Captured();

  // Puts one run into the queue of `stream`, after everything recorded there.
  void replay(c10::Stream stream);

  std::string text() const;
  std::map<std::string, int64_t> statistics() const;

 private:
  struct State;  // shared with queued runs
  std::shared_ptr<State> state_;
};

}  // namespace torch_hpu::graph
