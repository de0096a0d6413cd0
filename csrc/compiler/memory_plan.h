// Where every buffer of a program lives: bound by the run (inputs and what stays observable) or at an offset of the arena, where buffers whose
// lifetimes do not meet share bytes. What the run binds may share bytes, too: an output that is written when an input of its size is not used any more
// may take over that input's memory, if the run finds that nobody else can see it (donation).
#pragma once

#include <algorithm>
#include <cstdint>

#include "csrc/recipe/recipe.h"

namespace torch_hpu::compiler {

// The items that use a buffer, as positions in the program. first > last: unused.
struct Lifetime {
  size_t first = SIZE_MAX;
  size_t last = 0;

  void touch(size_t position) {
    first = std::min(first, position);
    last = std::max(last, position);
  }
};

// The item that last uses `before` writes `after` for the first time, and may do so in the same bytes.
struct Succession {
  ir::BufferId before, after;
};

// Fills placements, arena_bytes and donations: in the arena the largest buffers get their places first.
void plan_memory(const std::vector<ir::Buffer>& buffers, const std::vector<Lifetime>& lifetimes, const std::vector<Succession>& in_place,
                 Recipe& recipe);

}  // namespace torch_hpu::compiler
