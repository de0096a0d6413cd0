// What an op would return, without running it: rules, cached by the call's words.
#pragma once

#include <c10/util/FunctionRef.h>

#include <vector>

#include "csrc/ir/op.h"
#include "csrc/lazy/call.h"

namespace torch_hpu::lazy {

using Metas = std::vector<ir::TensorMeta>;

// The metas of the call's returns; null when the op has no rule and these arguments were not seen before (run it and learn()).
// `check` looks at what a rule sees for the first time. Throws the user's error. The result lives as long as the process or until the cache is
// trimmed by the next call of this thread.
std::shared_ptr<const Metas> infer(const Call& call, c10::function_ref<void()> check = [] {});

// Remembers what the call returned when it was run.
void learn(const Call& call, Metas metas);

}  // namespace torch_hpu::lazy
