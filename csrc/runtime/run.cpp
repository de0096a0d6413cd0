#include "csrc/runtime/run.h"

#include <c10/util/Exception.h>

#include <chrono>

#include "csrc/support/trace_spans.h"

namespace torch_hpu::runtime {
namespace {

void run_step(const Step& step, const Invocation& invocation) {
  try {
    if (C10_UNLIKELY(spans_enabled())) {
      Span span(step.name());
      step.run(invocation);
    } else {
      step.run(invocation);
    }
  } catch (c10::Error& error) {
    error.add_context("while running " + step.name());
    throw;
  }
}

}  // namespace

void run(const Recipe& recipe, const Invocation& invocation, StepTimes* times) {
  if (C10_LIKELY(times == nullptr)) {
    for (const auto& step : recipe.steps) {
      run_step(*step, invocation);
    }
    return;
  }
  times->seconds.resize(recipe.steps.size());
  for (size_t i = 0; i < recipe.steps.size(); ++i) {
    const auto start = std::chrono::steady_clock::now();
    run_step(*recipe.steps[i], invocation);
    times->seconds[i] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  ++times->runs;
}

}  // namespace torch_hpu::runtime
