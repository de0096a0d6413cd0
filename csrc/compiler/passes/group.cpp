#include "csrc/compiler/passes/group.h"

#include <algorithm>

#include "csrc/compiler/uses.h"

namespace torch_hpu::compiler {
namespace {

constexpr size_t kNear = 12;                        // items between a loop that makes temporaries and its group
constexpr int64_t kSmallPoints = int64_t{1} << 15;  // of such a loop

// A loop or group that others may join.
struct Host {
  size_t position;
  bool updates;  // its loops only update what outlives the program
};

class Grouper {
 public:
  explicit Grouper(Program& program) : program_(program), uses_(program) {}

  void run() {
    std::vector<Item>& items = program_.items;
    for (size_t i = 0; i < items.size(); ++i) {
      uses_.add(items[i], i);
    }
    std::vector<bool> alive(items.size(), true);
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].kind != Item::Kind::kLoop) {
        continue;
      }
      const bool updates = only_updates(items[i].loop);
      if (!updates && items[i].loop.numel() > kSmallPoints) {
        continue;
      }
      if (const size_t host = find_host(i, updates); host != kNone) {
        join(host, i);
        alive[i] = false;
      } else {
        hosts_.push_back({i, updates});
      }
    }
    std::vector<Item> kept;
    for (size_t i = 0; i < items.size(); ++i) {
      if (alive[i]) {
        kept.push_back(std::move(items[i]));
      }
    }
    items = std::move(kept);
  }

 private:
  static constexpr size_t kNone = SIZE_MAX;

  bool only_updates(const codegen::Loop& loop) const {
    return std::all_of(loop.stores.begin(), loop.stores.end(), [&](const codegen::Store& s) {
      return program_.buffers[loop.accesses[s.access].buffer].kind == ir::BufferKind::kInput;
    });
  }

  // The latest host that the loop at `position` can join.
  size_t find_host(size_t position, bool updates) const {
    const Item& item = program_.items[position];
    for (size_t h = hosts_.size(); h-- > 0;) {
      const Host& host = hosts_[h];
      if (!updates && position - host.position > kNear) {
        break;
      }
      if (host.updates != updates) {
        continue;
      }
      if (!uses_.can_move_up(item, position, host.position)) {
        return kNone;  // nor past it
      }
      if (independent(item, program_.items[host.position])) {
        return host.position;
      }
      return kNone;
    }
    return kNone;
  }

  bool independent(const Item& a, const Item& b) const {
    const auto first = buffer_uses(program_, a), second = buffer_uses(program_, b);
    for (const BufferUse& x : first) {
      for (const BufferUse& y : second) {
        if (x.buffer == y.buffer && (x.writes || y.writes)) {
          return false;
        }
      }
    }
    return true;
  }

  void join(size_t host, size_t position) {
    Item& group = program_.items[host];
    Item& item = program_.items[position];
    uses_.remove(item, position);
    uses_.add(item, host);
    if (group.kind == Item::Kind::kLoop) {
      group.kind = Item::Kind::kGroup;
      group.group.push_back(std::move(group.loop));
      group.loop = {};
    }
    group.group.push_back(std::move(item.loop));
  }

  Program& program_;
  Uses uses_;
  std::vector<Host> hosts_;
};

}  // namespace

void group_loops(Program& program) {
  Grouper(program).run();
}

}  // namespace torch_hpu::compiler
