#include "csrc/runtime/run.h"

#include <c10/util/Exception.h>

#include "csrc/support/trace_spans.h"

namespace torch_hpu::runtime {

void run(const Recipe& recipe, const Invocation& invocation) {
  for (const auto& step : recipe.steps) {
    try {
      if (C10_UNLIKELY(spans_enabled())) {
        Span span(step->name());
        step->run(invocation);
      } else {
        step->run(invocation);
      }
    } catch (c10::Error& error) {
      error.add_context("while running " + step->name());
      throw;
    }
  }
}

}  // namespace torch_hpu::runtime
