#include "csrc/compiler/passes/schedule.h"

#include <algorithm>

#include "csrc/compiler/uses.h"

namespace torch_hpu::compiler {
namespace {

class Scheduler {
 public:
  explicit Scheduler(Program& program) : program_(program), uses_(program) {}

  // From the end, so that readers have found their places first. An item that moves to the place of another one runs before it, and after what
  // moved there from farther up.
  void run() {
    std::vector<Item>& items = program_.items;
    for (size_t i = 0; i < items.size(); ++i) {
      uses_.add(items[i], i);
    }
    std::vector<std::vector<size_t>> at(items.size());
    for (size_t i = items.size(); i-- > 0;) {
      const size_t place = place_of(i);
      if (place != i) {
        uses_.remove(items[i], i);
        uses_.add(items[i], place);
      }
      at[place].push_back(i);
    }
    std::vector<Item> ordered;
    for (std::vector<size_t>& here : at) {
      std::sort(here.begin(), here.end());
      for (size_t i : here) {
        ordered.push_back(std::move(items[i]));
      }
    }
    items = std::move(ordered);
  }

 private:
  bool is_temporary(ir::BufferId b) const {
    return program_.buffers[b].kind == ir::BufferKind::kLocal && !program_.buffers[b].observable;
  }

  size_t place_of(size_t i) const {
    const std::vector<BufferUse> uses = buffer_uses(program_, program_.items[i]);
    size_t place = Uses::kNever;
    for (const BufferUse& u : uses) {
      if (u.writes) {
        if (!is_temporary(u.buffer)) {
          return i;
        }
        place = std::min(place, uses_.first_use_after(u.buffer, i));
      }
    }
    if (place == Uses::kNever || place == i + 1) {
      return i;
    }
    for (const BufferUse& u : uses) {
      if (!u.writes && is_temporary(u.buffer) && uses_.last_use(u.buffer) < place) {
        return i;
      }
    }
    return uses_.can_move_down(program_.items[i], i, place) ? place : i;
  }

  Program& program_;
  Uses uses_;
};

}  // namespace

void schedule(Program& program) {
  Scheduler(program).run();
}

}  // namespace torch_hpu::compiler
