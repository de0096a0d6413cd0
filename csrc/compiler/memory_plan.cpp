#include "csrc/compiler/memory_plan.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace torch_hpu::compiler {
namespace {

constexpr int64_t kAlign = 64;

// Free ranges of the arena: best fit, merged when given back; grows at the end.
class Ranges {
 public:
  int64_t take(int64_t size) {
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      if (it->second >= size && (best == free_.end() || it->second < best->second)) {
        best = it;
      }
    }
    if (best == free_.end()) {
      // A free range at the end can grow.
      if (!free_.empty() && std::prev(free_.end())->first + std::prev(free_.end())->second == end_) {
        const int64_t offset = std::prev(free_.end())->first;
        free_.erase(std::prev(free_.end()));
        end_ = offset + size;
        return offset;
      }
      const int64_t offset = end_;
      end_ += size;
      return offset;
    }
    const int64_t offset = best->first, rest = best->second - size;
    free_.erase(best);
    if (rest > 0) {
      free_[offset + size] = rest;
    }
    return offset;
  }

  void give(int64_t offset, int64_t size) {
    auto it = free_.emplace(offset, size).first;
    if (auto next = std::next(it); next != free_.end() && offset + size == next->first) {
      it->second += next->second;
      free_.erase(next);
    }
    if (it != free_.begin()) {
      if (auto previous = std::prev(it); previous->first + previous->second == it->first) {
        previous->second += it->second;
        free_.erase(it);
      }
    }
  }

  int64_t end() const {
    return end_;
  }

 private:
  std::map<int64_t, int64_t> free_;  // offset -> size
  int64_t end_ = 0;
};

}  // namespace

void plan_memory(const std::vector<ir::Buffer>& buffers, const std::vector<Lifetime>& lifetimes, Recipe& recipe) {
  recipe.placements.resize(buffers.size());
  std::vector<size_t> planned;
  for (size_t b = 0; b < buffers.size(); ++b) {
    const ir::Buffer& buffer = buffers[b];
    Recipe::Placement& place = recipe.placements[b];
    place.nbytes = buffer.nbytes;
    place.in_arena = buffer.kind == ir::BufferKind::kLocal && !buffer.observable;
    if (place.in_arena && lifetimes[b].first <= lifetimes[b].last && buffer.nbytes > 0) {
      planned.push_back(b);
    }
  }
  // In program order: at each position the buffers that end before it give their bytes back.
  std::vector<size_t> by_end = planned;
  std::sort(planned.begin(), planned.end(), [&](size_t a, size_t b) { return lifetimes[a].first < lifetimes[b].first; });
  std::sort(by_end.begin(), by_end.end(), [&](size_t a, size_t b) { return lifetimes[a].last < lifetimes[b].last; });
  Ranges ranges;
  size_t ended = 0;
  auto size_of = [&](size_t b) { return (buffers[b].nbytes + kAlign - 1) / kAlign * kAlign; };
  for (size_t b : planned) {
    for (; ended < by_end.size() && lifetimes[by_end[ended]].last < lifetimes[b].first; ++ended) {
      ranges.give(recipe.placements[by_end[ended]].arena_offset, size_of(by_end[ended]));
    }
    recipe.placements[b].arena_offset = ranges.take(size_of(b));
  }
  recipe.arena_bytes = ranges.end();
}

}  // namespace torch_hpu::compiler
