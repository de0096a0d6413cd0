#include "csrc/compiler/uses.h"

#include "csrc/codegen/op_traits.h"

namespace torch_hpu::compiler {

std::vector<BufferUse> buffer_uses(const codegen::Loop& loop) {
  std::vector<BufferUse> uses;
  for (const codegen::Expr& e : loop.exprs) {
    if (codegen::is_load(e.op)) {
      uses.push_back({loop.accesses[static_cast<size_t>(e.imm_i)].buffer, false});
    }
  }
  for (const codegen::Store& s : loop.stores) {
    uses.push_back({loop.accesses[s.access].buffer, true});
  }
  return uses;
}

std::vector<BufferUse> buffer_uses(const Program& program, const Item& item) {
  std::vector<BufferUse> uses;
  switch (item.kind) {
    case Item::Kind::kLoop:
      return buffer_uses(item.loop);
    case Item::Kind::kGroup:
      for (const codegen::Loop& loop : item.group) {
        const auto of_loop = buffer_uses(loop);
        uses.insert(uses.end(), of_loop.begin(), of_loop.end());
      }
      break;
    case Item::Kind::kLibrary:
      for (const kernels::Operand& o : item.call.reads) {
        if (o.buffer != ir::kNone) {
          uses.push_back({o.buffer, false});
        }
      }
      for (const kernels::Operand& o : item.call.writes) {
        if (o.buffer != ir::kNone) {
          uses.push_back({o.buffer, true});
        }
      }
      break;
    case Item::Kind::kExtern: {
      const ir::Graph& g = *program.graph;
      const ir::Node& node = g.nodes[item.node];
      auto read = [&](ir::WindowId w) {
        if (w != ir::kNone) {
          uses.push_back({g.windows[w].buffer, false});
        }
      };
      for (const ir::Arg& arg : node.args) {
        if (arg.kind == ir::Arg::Kind::kWindow) {
          read(arg.index);
        } else if (arg.kind == ir::Arg::Kind::kWindowList) {
          for (uint32_t k = 0; k < arg.count; ++k) {
            read(g.list_items[arg.index + k]);
          }
        }
      }
      for (ir::WindowId w : node.writes) {
        if (w != ir::kNone) {
          uses.push_back({g.windows[w].buffer, true});
        }
      }
      break;
    }
  }
  return uses;
}

void Uses::add(const Item& item, size_t position) {
  for (const BufferUse& u : buffer_uses(program_, item)) {
    if (u.buffer >= uses_.size()) {
      uses_.resize(u.buffer + 1);  // a temporary that a pass has added
    }
    (u.writes ? uses_[u.buffer].writes : uses_[u.buffer].reads).insert(position);
  }
}

void Uses::remove(const Item& item, size_t position) {
  for (const BufferUse& u : buffer_uses(program_, item)) {
    (u.writes ? uses_[u.buffer].writes : uses_[u.buffer].reads).erase(position);
  }
}

size_t Uses::last_write_before(ir::BufferId buffer, size_t position) const {
  const auto& writes = uses_[buffer].writes;
  auto it = writes.lower_bound(position);
  return it == writes.begin() ? kNever : *std::prev(it);
}

size_t Uses::first_use_after(ir::BufferId buffer, size_t position) const {
  size_t first = kNever;
  for (const auto* positions : {&uses_[buffer].reads, &uses_[buffer].writes}) {
    if (const auto it = positions->upper_bound(position); it != positions->end()) {
      first = std::min(first, *it);
    }
  }
  return first;
}

size_t Uses::last_use(ir::BufferId buffer) const {
  size_t last = 0;
  for (const auto* positions : {&uses_[buffer].reads, &uses_[buffer].writes}) {
    last = positions->empty() ? last : std::max(last, *positions->rbegin());
  }
  return last;
}

bool Uses::unused(ir::BufferId buffer) const {
  return uses_[buffer].reads.empty() && uses_[buffer].writes.empty();
}

bool Uses::used_only_at(ir::BufferId buffer, size_t p, size_t q) const {
  for (const auto* positions : {&uses_[buffer].reads, &uses_[buffer].writes}) {
    for (size_t n : *positions) {
      if (n != p && n != q) {
        return false;
      }
    }
  }
  return true;
}

size_t Uses::future(size_t position, const codegen::Loop& loop) const {
  size_t last = position;
  for (const codegen::Store& s : loop.stores) {
    last = std::max(last, last_use(loop.accesses[s.access].buffer));
  }
  return last;
}

bool Uses::any_between(const std::set<size_t>& positions, size_t p, size_t q) {
  auto it = positions.upper_bound(p);
  return it != positions.end() && *it < q;
}

bool Uses::can_move_down(const Item& item, size_t p, size_t q) const {
  for (const BufferUse& u : buffer_uses(program_, item)) {
    if (any_between(uses_[u.buffer].writes, p, q) || (u.writes && any_between(uses_[u.buffer].reads, p, q))) {
      return false;
    }
  }
  return true;
}

bool Uses::can_move_up(const Item& item, size_t q, size_t p) const {
  return can_move_down(item, p, q);  // the same condition: nothing in between conflicts
}

}  // namespace torch_hpu::compiler
