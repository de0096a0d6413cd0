#include "csrc/compiler/passes/fuse.h"

#include <algorithm>
#include <set>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/access.h"
#include "csrc/compiler/passes/align.h"
#include "csrc/compiler/passes/merge.h"
#include "csrc/compiler/uses.h"

namespace torch_hpu::compiler {
namespace {

using codegen::Access;
using codegen::Expr;
using codegen::Loop;
using codegen::Op;
using codegen::Store;

constexpr size_t kSiblingWindow = 6;  // how many loops back a sibling is looked for

bool expensive(const Expr& e) {
  return (e.op >= Op::kExp && e.op <= Op::kSigmoid && e.op != Op::kSqrt && e.op != Op::kRsqrt && e.op != Op::kReciprocal) ||
         e.op == Op::kPow || (e.op >= Op::kGcd && e.op <= Op::kLegendreP) || e.op == Op::kUniform || e.op == Op::kRandomBits ||
         e.op == Op::kAtan2;
}

class Fuser {
 public:
  explicit Fuser(Program& program) : program_(program), graph_(*program.graph), uses_(program) {}

  void run() {
    items_ = std::move(program_.items);
    program_.items.clear();
    alive_.assign(items_.size(), true);
    for (size_t i = 0; i < items_.size(); ++i) {
      uses_.add(items_[i], i);
      if (items_[i].kind == Item::Kind::kLoop) {
        loops_.insert(i);
      }
    }
    for (size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].kind == Item::Kind::kLoop) {
        grow(i);
      }
    }
    for (size_t i = 0; i < items_.size(); ++i) {
      if (alive_[i]) {
        program_.items.push_back(std::move(items_[i]));
      }
    }
  }

 private:
  // Fuses the loop at `position` with producers and siblings as long as that goes.
  void grow(size_t position) {
    bool changed = true;
    while (changed) {
      changed = false;
      std::set<size_t, std::greater<>> producers;
      for (const Access& a : items_[position].loop.accesses) {
        const size_t p = uses_.last_write_before(a.buffer, position);
        if (p != Uses::kNever && items_[p].kind == Item::Kind::kLoop) {
          producers.insert(p);
        }
      }
      for (size_t p : producers) {
        if (fuse_producer(p, position)) {
          position = where_;
          changed = true;
          break;
        }
      }
      if (!changed) {
        changed = fuse_sibling(position);
        position = where_;
      }
    }
  }

  bool fuse_producer(size_t p, size_t q) {
    const Loop &producer = items_[p].loop, &consumer = items_[q].loop;
    for (const Store& s : producer.stores) {
      const Access& store = producer.accesses[s.access];
      for (const Expr& e : consumer.exprs) {
        if (e.op != Op::kLoad || consumer.accesses[static_cast<size_t>(e.imm_i)].buffer != store.buffer) {
          continue;
        }
        auto pair = align(graph_, producer, store, consumer, consumer.accesses[static_cast<size_t>(e.imm_i)]);
        if (!pair) {
          continue;
        }
        if (pair->same_points) {
          if (auto merged = merge(graph_, pair->producer, pair->consumer)) {
            return replace(p, q, std::move(*merged));
          }
        } else if (can_repeat(p, q, pair->producer)) {
          Loop inlined = pair->producer;
          if (auto merged = merge(graph_, inlined, pair->consumer)) {
            // The producer's own stores would be repeated: they must go, and can, because nobody else needs them.
            std::erase_if(merged->stores, [&](const Store& x) {
              const uint32_t buffer = merged->accesses[x.access].buffer;
              return std::any_of(producer.stores.begin(), producer.stores.end(),
                                 [&](const Store& y) { return producer.accesses[y.access].buffer == buffer; });
            });
            compact(*merged);
            return replace(p, q, std::move(*merged));
          }
        }
      }
    }
    return false;
  }

  // Whether the producer may be computed again at points that repeat: cheap, and only q reads what it stores.
  bool can_repeat(size_t p, size_t q, const Loop& producer) const {
    size_t cost = 0;
    for (const Expr& e : producer.exprs) {
      if (codegen::is_reduce(e.op) || expensive(e)) {
        return false;
      }
      cost += codegen::is_load(e.op) ? 2 : 1;
    }
    if (cost > 24) {
      return false;
    }
    for (const Store& s : producer.stores) {
      const uint32_t b = producer.accesses[s.access].buffer;
      if (program_.buffers[b].observable || program_.buffers[b].kind == ir::BufferKind::kInput || !uses_.used_only_at(b, p, q)) {
        return false;
      }
      for (const Store& t : items_[q].loop.stores) {
        if (items_[q].loop.accesses[t.access].buffer == b) {
          return false;
        }
      }
    }
    return uses_.future(p, producer) <= q;
  }

  bool fuse_sibling(size_t q) {
    where_ = q;
    const Loop& loop = items_[q].loop;
    auto before = loops_.find(q);
    for (size_t seen = 0; seen < kSiblingWindow && before != loops_.begin(); ++seen) {
      const size_t p = *--before;
      const Loop& other = items_[p].loop;
      if (other.sizes != loop.sizes || other.kept != loop.kept || !share_input(other, loop)) {
        continue;
      }
      if (auto merged = merge(graph_, other, loop)) {
        if (replace(p, q, std::move(*merged))) {
          return true;
        }
      }
    }
    return false;
  }

  static bool loads_buffer(const Loop& loop, uint32_t buffer) {
    return std::any_of(loop.exprs.begin(), loop.exprs.end(), [&](const Expr& e) {
      return codegen::is_load(e.op) && loop.accesses[static_cast<size_t>(e.imm_i)].buffer == buffer;
    });
  }

  static bool share_input(const Loop& a, const Loop& b) {
    for (const Access& x : a.accesses) {
      for (const Access& y : b.accesses) {
        if (x.buffer == y.buffer && x.strides == y.strides) {
          return true;
        }
      }
    }
    return false;
  }

  // Puts `merged` in the place of p and q, if one of them can move to the other.
  bool replace(size_t p, size_t q, Loop merged) {
    size_t at;
    if (uses_.can_move_down(items_[p], p, q)) {
      at = q;
    } else if (uses_.can_move_up(items_[q], q, p)) {
      at = p;
    } else {
      return false;
    }
    const size_t gone = at == p ? q : p;
    uses_.remove(items_[p], p);
    uses_.remove(items_[q], q);
    // What only passed between the two needs no memory any more.
    std::erase_if(merged.stores, [&](const Store& x) {
      const uint32_t b = merged.accesses[x.access].buffer;
      return program_.buffers[b].kind == ir::BufferKind::kLocal && !program_.buffers[b].observable && uses_.unused(b) &&
             !loads_buffer(merged, b);
    });
    compact(merged);
    alive_[gone] = false;
    loops_.erase(gone);
    items_[at].loop = std::move(merged);
    uses_.add(items_[at], at);
    where_ = at;
    return true;
  }

  Program& program_;
  const ir::Graph& graph_;
  Uses uses_;
  std::vector<Item> items_;
  std::vector<bool> alive_;
  std::set<size_t> loops_;  // positions of those that are alive
  size_t where_ = 0;        // of the loop that the last fusion made
};

}  // namespace

void fuse(Program& program) {
  Fuser(program).run();
}

}  // namespace torch_hpu::compiler
