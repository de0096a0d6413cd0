#include "csrc/runtime/run.h"

#include <chrono>

#include "csrc/support/hash.h"
#include "csrc/support/trace_spans.h"

namespace torch_hpu::runtime {
namespace {

void run_step(const Recipe& recipe, const Step& step, const Invocation& invocation, bool spans) {
  if (C10_UNLIKELY(spans)) {
    const Span span(step.name(), hex8(recipe.id));
    step.run(invocation);
  } else {
    step.run(invocation);
  }
}

}  // namespace

void run(const Recipe& recipe, const Invocation& invocation, size_t& step, StepTimes* times) {
  const bool spans = spans_enabled();
  if (C10_LIKELY(times == nullptr)) {
    for (step = 0; step < recipe.steps.size(); ++step) {
      run_step(recipe, *recipe.steps[step], invocation, spans);
    }
    return;
  }
  times->seconds.resize(recipe.steps.size());
  for (step = 0; step < recipe.steps.size(); ++step) {
    const auto start = std::chrono::steady_clock::now();
    run_step(recipe, *recipe.steps[step], invocation, spans);
    times->seconds[step] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  ++times->runs;
}

}  // namespace torch_hpu::runtime
