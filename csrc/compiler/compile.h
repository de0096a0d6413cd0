// Graph in, recipe out.
#pragma once

#include <memory>

#include "csrc/ir/graph.h"
#include "csrc/recipe/recipe.h"

namespace torch_hpu::compiler {

enum class Tier : uint8_t {
  kGeneric,   // every node by its ATen kernel: no compilation
  kCompiled,  // lowered, optimized, generated
};

// Plain data in, immutable recipe out; thread-safe. Throws c10::Error when something is wrong with the compiler itself. `id`: the recipe's.
std::unique_ptr<Recipe> compile(const ir::Graph& graph, Tier tier, uint64_t id = 0);

// Starts in the background what the first compile() will need; returns at once.
void prepare();

}  // namespace torch_hpu::compiler
