// Recipes by key: an LRU with single flight. A key is compared word by word; its hash only picks the bucket.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "csrc/recipe/recipe.h"

namespace torch_hpu::runtime {

// What makes two graphs the same to the run time.
struct RecipeKey {
  const std::vector<uint64_t>& words;   // structure
  uint64_t hash;                        // of words
  const std::vector<bool>& observable;  // by BufferId: which buffers somebody can still read
};

// Compiles for the given set of observable buffers; `generic`: without compiling.
using CompileFn = std::function<std::unique_ptr<Recipe>(const std::vector<bool>& observable, bool generic)>;

struct Compiler {
  CompileFn now;                     // on the calling thread, before find_or_compile() returns
  std::function<CompileFn()> later;  // makes a function that owns what it needs, for another thread
};

enum class TierPolicy : uint8_t {
  kGeneric,
  kCompiled,
  kAuto,  // the first run of a key is generic while its recipe is compiled on another thread
};

// The recipe of `key`: from the cache, or made by `compiler` (other callers with the same key wait for it).
// A recipe whose observable buffers are a superset fits too: which temporaries are alive at a flush depends on garbage
// collection. After two variants of one structure their union is compiled.
std::shared_ptr<const Recipe> find_or_compile(const RecipeKey& key, const Compiler& compiler, TierPolicy policy);

size_t cached_recipes();
void clear_recipes();

}  // namespace torch_hpu::runtime
