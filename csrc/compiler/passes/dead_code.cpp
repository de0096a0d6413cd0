#include "csrc/compiler/passes/dead_code.h"

#include <algorithm>

#include "csrc/compiler/access.h"
#include "csrc/compiler/uses.h"
#include "csrc/ir/op.h"

namespace torch_hpu::compiler {

void remove_dead_code(Program& program) {
  std::vector<bool> live(program.buffers.size());
  for (size_t b = 0; b < live.size(); ++b) {
    live[b] = program.buffers[b].observable || program.buffers[b].kind == ir::BufferKind::kInput;
  }
  std::vector<Item> kept;
  for (size_t i = program.items.size(); i-- > 0;) {
    Item& item = program.items[i];
    if (item.kind == Item::Kind::kLoop) {
      const size_t before = item.loop.stores.size();
      std::erase_if(item.loop.stores, [&](const codegen::Store& s) { return !live[item.loop.accesses[s.access].buffer]; });
      if (item.loop.stores.empty()) {
        continue;
      }
      if (item.loop.stores.size() != before) {
        compact(item.loop);
      }
    }
    if (item.kind == Item::Kind::kLibrary) {
      std::vector<kernels::Operand>& writes = item.call.writes;
      for (size_t w = 0; w < writes.size(); ++w) {
        if (kernels::optional_write(item.call.primitive, w) && writes[w].buffer != ir::kNone && !live[writes[w].buffer]) {
          writes[w] = {};
        }
      }
    }
    const auto uses = buffer_uses(program, item);
    const bool needed = std::any_of(uses.begin(), uses.end(), [&](const BufferUse& u) { return u.writes && live[u.buffer]; });
    // An extern op without writes exists for its effect.
    const bool writes = std::any_of(uses.begin(), uses.end(), [](const BufferUse& u) { return u.writes; });
    if (!needed && writes) {
      continue;
    }
    for (const BufferUse& u : uses) {
      if (!u.writes) {
        live[u.buffer] = true;
      }
    }
    kept.push_back(std::move(item));
  }
  std::reverse(kept.begin(), kept.end());
  program.items = std::move(kept);
}

}  // namespace torch_hpu::compiler
