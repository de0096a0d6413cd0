#include "csrc/compiler/passes/group.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "csrc/compiler/uses.h"

namespace torch_hpu::compiler {
namespace {

constexpr size_t kNear = 12;                        // items between a loop that makes temporaries and its group
constexpr int64_t kSmallPoints = int64_t{1} << 15;  // of such a loop

// The loop or group that others may join.
struct Host {
  size_t position;
  std::unordered_set<ir::BufferId> reads, writes;
};

class Grouper {
 public:
  explicit Grouper(Program& program) : program_(program), uses_(program) {}

  void run() {
    std::vector<Item>& items = program_.items;
    for (size_t i = 0; i < items.size(); ++i) {
      uses_.add(items[i], i);
    }
    std::vector<bool> joined(items.size(), false);
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].kind != Item::Kind::kLoop) {
        continue;
      }
      const bool updates = only_updates(items[i].loop);
      if (!updates && items[i].loop.numel() > kSmallPoints) {
        continue;
      }
      std::optional<Host>& host = updates ? update_host_ : host_;
      const std::vector<BufferUse> uses = buffer_uses(program_, items[i]);
      const bool near = updates || (host && i - host->position <= kNear);
      if (host && near && uses_.can_move_up(items[i], i, host->position) && independent(uses, *host)) {
        join(*host, i);
        joined[i] = true;
      } else {
        host = Host{i, {}, {}};
      }
      for (const BufferUse& u : uses) {
        (u.writes ? host->writes : host->reads).insert(u.buffer);
      }
    }
    program_.erase(joined);
  }

 private:
  bool only_updates(const codegen::Loop& loop) const {
    return std::all_of(loop.stores.begin(), loop.stores.end(), [&](const codegen::Store& s) {
      return program_.buffers[loop.accesses[s.access].buffer].kind == ir::BufferKind::kInput;
    });
  }

  static bool independent(const std::vector<BufferUse>& uses, const Host& host) {
    return std::none_of(uses.begin(), uses.end(),
                        [&](const BufferUse& u) { return host.writes.contains(u.buffer) || (u.writes && host.reads.contains(u.buffer)); });
  }

  void join(const Host& host, size_t position) {
    Item& group = program_.items[host.position];
    Item& item = program_.items[position];
    uses_.remove(item, position);
    uses_.add(item, host.position);
    if (group.kind == Item::Kind::kLoop) {
      group.kind = Item::Kind::kGroup;
      group.group.push_back(std::move(group.loop));
      group.loop = {};
    }
    group.group.push_back(std::move(item.loop));
  }

  Program& program_;
  Uses uses_;
  std::optional<Host> host_, update_host_;  // the latest; that of loops which only update what outlives the program
};

}  // namespace

void group_loops(Program& program) {
  Grouper(program).run();
}

}  // namespace torch_hpu::compiler
