#include "csrc/lazy/repetition.h"

#include <algorithm>

#include "csrc/support/env.h"

namespace torch_hpu::lazy {
namespace {

// In parts of the node limit.
constexpr size_t kThreshold = 4;  // a trace as long as limit / 4 is looked at
constexpr size_t kInterval = 32;  // how often
constexpr size_t kLeastCut = 64;  // shorter loops are cut after several iterations

size_t part_of_limit(size_t part) {
  return std::max<size_t>(1, options().max_nodes / part);
}

// The boundary behind node begin, begin + 1 ... end - 1 that the fewest bytes of local buffers cross; as a distance from `begin`, 1 or more.
size_t narrowest(const ir::Graph& graph, size_t begin, size_t end) {
  struct Life {
    size_t first, last;
  };
  std::vector<Life> lives(graph.buffers.size(), {SIZE_MAX, 0});
  const auto touch = [&](ir::WindowId w, size_t node) {
    if (w != ir::kNone) {
      Life& life = lives[graph.windows[w].buffer];
      life.first = std::min(life.first, node);
      life.last = node;
    }
  };
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    for (const ir::Arg& arg : graph.nodes[n].args) {
      if (arg.kind == ir::Arg::Kind::kWindow) {
        touch(arg.index, n);
      }
      for (uint32_t k = 0; arg.kind == ir::Arg::Kind::kWindowList && k < arg.count; ++k) {
        touch(graph.list_items[arg.index + k], n);
      }
    }
    for (ir::WindowId w : graph.nodes[n].writes) {
      touch(w, n);
    }
  }
  std::vector<int64_t> change(end - begin + 1, 0);  // of the bytes that cross
  for (size_t b = 0; b < lives.size(); ++b) {
    if (graph.buffers[b].kind != ir::BufferKind::kLocal || lives[b].first == SIZE_MAX || lives[b].last <= begin || lives[b].first >= end) {
      continue;
    }
    change[std::max(lives[b].first, begin) - begin] += graph.buffers[b].nbytes;
    change[std::min(lives[b].last, end) - begin] -= graph.buffers[b].nbytes;
  }
  size_t best = 0;
  int64_t crossing = 0, least = INT64_MAX;
  for (size_t n = begin; n < end; ++n) {
    crossing += change[n - begin];
    if (crossing < least) {
      least = crossing;
      best = n;
    }
  }
  return best - begin + 1;
}

}  // namespace

size_t Repetition::threshold() {
  return part_of_limit(kThreshold);
}

bool Repetition::next(const ir::Graph& graph, Step step) {
  if (!cycle_.empty()) {
    if (cycle_[position_] == step.op) {
      position_ = (position_ + 1) % cycle_.size();
      if (--until_cut_ == 0) {
        until_cut_ = length_;
        return true;
      }
      return false;
    }
    *this = {};  // the loop has ended
  }
  seen_.push_back(step);
  if (seen_.size() % part_of_limit(kInterval) != 0) {
    return false;
  }
  if (const size_t period = find_period()) {
    return follow(graph, period);
  }
  if (seen_.size() > 2 * options().max_nodes) {
    seen_.erase(seen_.begin(), seen_.end() - static_cast<std::ptrdiff_t>(options().max_nodes));
  }
  return false;
}

// The length of the shortest sequence that has just come twice, over the same memories; 0: there is none.
size_t Repetition::find_period() const {
  // z[i]: how far the history, read backwards, equals itself shifted by i (the Z-function).
  const size_t n = seen_.size();
  const auto op = [&](size_t i) { return seen_[n - 1 - i].op; };
  std::vector<size_t> z(n, 0);
  size_t left = 0, right = 0;
  for (size_t i = 1; 2 * i <= n; ++i) {
    if (i < right) {
      z[i] = std::min(right - i, z[i - left]);
    }
    while (i + z[i] < n && op(z[i]) == op(i + z[i])) {
      ++z[i];
    }
    if (i + z[i] > right) {
      left = i;
      right = i + z[i];
    }
    if (z[i] < i) {
      continue;
    }
    size_t same = 0, other = 0;
    for (size_t k = 0; k < i; ++k) {
      const uint64_t now = seen_[n - 1 - k].memories, before = seen_[n - 1 - k - i].memories;
      if (now != 0 || before != 0) {
        ++(now == before ? same : other);
      }
    }
    if (same >= other) {
      return i;
    }
  }
  return 0;
}

bool Repetition::follow(const ir::Graph& graph, size_t period) {
  for (size_t k = seen_.size() - period; k < seen_.size(); ++k) {
    cycle_.push_back(seen_[k].op);
  }
  seen_.clear();
  position_ = 0;
  length_ = period * ((part_of_limit(kLeastCut) + period - 1) / period);
  // The place to cut is sought in the iteration before the last, of which all uses are known; in the trace's first iterations that may be gone.
  const size_t nodes = graph.nodes.size();
  const size_t phase = nodes >= 2 * period ? narrowest(graph, nodes - 2 * period, nodes - period) % period : 0;
  until_cut_ = phase == 0 ? length_ : phase;
  return phase == 0;
}

}  // namespace torch_hpu::lazy
