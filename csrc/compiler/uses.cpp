#include "csrc/compiler/uses.h"

#include <algorithm>

#include "csrc/codegen/op_traits.h"
#include "csrc/kernels/step.h"

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

int64_t traffic(const Program& program, const Item& item) {
  int64_t bytes = 0;
  auto add = [&](ir::BufferId buffer, int64_t elements, c10::ScalarType dtype) {
    if (buffer != ir::kNone) {
      bytes += std::min(elements * static_cast<int64_t>(c10::elementSize(dtype)), program.buffers[buffer].nbytes);
    }
  };
  auto add_loop = [&](const codegen::Loop& loop) {
    auto reached = [&](const codegen::Access& a, bool by_index) {
      int64_t n = 1;
      for (size_t d = 0; d < loop.sizes.size(); ++d) {
        n *= a.strides[d] != 0 || by_index ? loop.sizes[d] : 1;
      }
      return n;
    };
    for (const codegen::Expr& e : loop.exprs) {
      if (codegen::is_load(e.op)) {
        const codegen::Access& a = loop.accesses[static_cast<size_t>(e.imm_i)];
        add(a.buffer, reached(a, e.op != codegen::Op::kLoad), a.dtype);
      }
    }
    for (const codegen::Store& s : loop.stores) {
      const codegen::Access& a = loop.accesses[s.access];
      add(a.buffer, reached(a, s.at != codegen::kNoExpr), a.dtype);
    }
  };
  switch (item.kind) {
    case Item::Kind::kLoop:
      add_loop(item.loop);
      break;
    case Item::Kind::kGroup:
      std::for_each(item.group.begin(), item.group.end(), add_loop);
      break;
    case Item::Kind::kLibrary:
      for (const auto* operands : {&item.call.reads, &item.call.writes}) {
        for (const kernels::Operand& o : *operands) {
          add(o.buffer, kernels::numel(o), o.dtype);
        }
      }
      break;
    case Item::Kind::kExtern:
      for (const BufferUse& u : buffer_uses(program, item)) {
        bytes += program.buffers[u.buffer].nbytes;
      }
      break;
  }
  return bytes;
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
