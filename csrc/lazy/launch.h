// From a closed trace to a running recipe.
#pragma once

#include <memory>

#include "csrc/lazy/state.h"
#include "csrc/runtime/recipe_cache.h"

namespace torch_hpu::lazy {

// Closes a detached trace (key, observability, orders against other streams) and puts it into its stream's queue. The lock is held:
// tickets are in recording order. The task itself looks the recipe up (or compiles it), binds memory, runs, and marks memories.
void launch(const Lock& lock, std::unique_ptr<Trace> trace, runtime::TierPolicy policy, bool wake);

// TORCH_HPU_TIER as a policy.
runtime::TierPolicy tier_policy();

// The device is going to be used: starts what compilations need once.
void prepare();

// The recipe for a closed trace (finish_key() and set_observability() were called).
std::shared_ptr<const Recipe> recipe_of(const Trace& trace, runtime::TierPolicy policy);

}  // namespace torch_hpu::lazy
