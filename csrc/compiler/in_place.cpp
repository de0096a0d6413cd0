#include "csrc/compiler/in_place.h"

#include <unordered_map>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/uses.h"
#include "csrc/ir/relation.h"

namespace torch_hpu::compiler {
namespace {

using codegen::Access;
using codegen::Loop;

class Finder {
 public:
  Finder(const Program& program, const std::vector<Lifetime>& lifetimes) : program_(program), lifetimes_(lifetimes) {}

  // `alone`: whether no loop beside this one touches a buffer.
  template <typename Alone>
  void look_at(const Loop& loop, size_t position, Alone alone) {
    if (loop.kept != loop.sizes.size()) {
      return;
    }
    for (const codegen::Store& s : loop.stores) {
      const Access& to = loop.accesses[s.access];
      if (s.at != codegen::kNoExpr || program_.buffers[to.buffer].kind != ir::BufferKind::kLocal ||
          lifetimes_[to.buffer].first != position || !alone(to.buffer) || !walks_all(loop, to)) {
        continue;
      }
      for (const codegen::Expr& e : loop.exprs) {
        if (!codegen::is_load(e.op)) {
          continue;
        }
        const Access& from = loop.accesses[static_cast<size_t>(e.imm_i)];
        if (lifetimes_[from.buffer].last == position && alone(from.buffer) && read_only_as(loop, from.buffer, to)) {
          pairs_.push_back({from.buffer, to.buffer});
        }
      }
    }
  }

  std::vector<Succession> take() {
    return std::move(pairs_);
  }

 private:
  bool walks_all(const Loop& loop, const Access& a) const {
    ir::Window w;
    w.dtype = a.dtype;
    w.offset = a.offset + (a.dynamic == ir::kNone ? 0 : program_.graph->windows[a.dynamic].offset);
    w.sizes = loop.sizes;
    w.strides = a.strides;
    return ir::covers(w, program_.buffers[a.buffer].nbytes);  // then the offset is 0 in every run
  }

  // Whether the loop only reads `buffer`, and always the element whose place in its buffer is that of `to` in the other one.
  bool read_only_as(const Loop& loop, ir::BufferId buffer, const Access& to) const {
    for (const codegen::Store& s : loop.stores) {
      if (loop.accesses[s.access].buffer == buffer) {
        return false;
      }
    }
    for (const codegen::Expr& e : loop.exprs) {
      if (!codegen::is_load(e.op)) {
        continue;
      }
      const Access& a = loop.accesses[static_cast<size_t>(e.imm_i)];
      if (a.buffer == buffer && (e.op != codegen::Op::kLoad || a.strides != to.strides ||
                                 c10::elementSize(a.dtype) != c10::elementSize(to.dtype) || !walks_all(loop, a))) {
        return false;
      }
    }
    return true;
  }

  const Program& program_;
  const std::vector<Lifetime>& lifetimes_;
  std::vector<Succession> pairs_;
};

}  // namespace

std::vector<Succession> in_place_pairs(const Program& program, const std::vector<Lifetime>& lifetimes) {
  Finder finder(program, lifetimes);
  for (size_t i = 0; i < program.items.size(); ++i) {
    const Item& item = program.items[i];
    if (item.kind == Item::Kind::kLoop) {
      finder.look_at(item.loop, i, [](ir::BufferId) { return true; });
    } else if (item.kind == Item::Kind::kGroup) {
      std::unordered_map<ir::BufferId, std::pair<const Loop*, bool>>
          users;  // by buffer: a loop that touches it, and whether it is the only one
      for (const Loop& loop : item.group) {
        for (const BufferUse& u : buffer_uses(loop)) {
          const auto [it, added] = users.try_emplace(u.buffer, &loop, true);
          it->second.second = it->second.second && it->second.first == &loop;
        }
      }
      for (const Loop& loop : item.group) {
        finder.look_at(loop, i, [&](ir::BufferId b) { return users.at(b).second; });
      }
    }
  }
  return finder.take();
}

}  // namespace torch_hpu::compiler
