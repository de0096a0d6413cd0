// The compiler's numbers for buffers, windows and scalars become dense local ones, so that equal loops share a kernel.
#include <c10/util/Exception.h>

#include "csrc/codegen/codegen.h"

namespace torch_hpu::codegen {
namespace {

// The dense number of `global`, given in the order of first use.
uint32_t dense(std::vector<uint32_t>& known, uint32_t global) {
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i] == global) {
      return static_cast<uint32_t>(i);
    }
  }
  known.push_back(global);
  return static_cast<uint32_t>(known.size() - 1);
}

}  // namespace

// Scalar slots stay in the loop's order; the generator's seed and offset get two slots behind them.
Localized localize(const Loop& loop) {
  Localized local;
  local.loop = loop;
  for (Access& a : local.loop.accesses) {
    a.buffer = dense(local.buffers, a.buffer);
    if (a.dynamic != ir::kNone) {
      a.dynamic = dense(local.windows, a.dynamic);
    }
  }
  TORCH_INTERNAL_ASSERT(loop.scalar_ids.size() == loop.scalars.size(), "loop ", loop.name, " has ", loop.scalars.size(),
                        " scalar slots and ", loop.scalar_ids.size(), " scalar ids");
  local.scalars.assign(loop.scalar_ids.begin(), loop.scalar_ids.end());
  if (loop.rng != ir::kNone) {
    local.loop.rng = static_cast<uint32_t>(local.scalars.size());
    for (uint32_t i = 0; i < 2; ++i) {
      local.scalars.push_back(loop.rng + i);
      local.loop.scalars.push_back(ir::ScalarCategory::kInt);
    }
  }
  local.loop.scalar_ids.clear();
  return local;
}

}  // namespace torch_hpu::codegen
