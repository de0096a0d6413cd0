#include "csrc/compiler/memory_plan.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace torch_hpu::compiler {
namespace {

constexpr int64_t kAlign = 64;
constexpr size_t kCandidates = 8;  // inputs offered to one output

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

// In program order: at each position the buffers that end before it give their bytes back.
void plan_arena(const std::vector<ir::Buffer>& buffers, const std::vector<Lifetime>& lifetimes, const std::vector<Succession>& in_place,
                Recipe& recipe) {
  const auto size_of = [&](size_t b) { return (buffers[b].nbytes + kAlign - 1) / kAlign * kAlign; };
  std::vector<size_t> by_start;
  for (size_t b = 0; b < buffers.size(); ++b) {
    if (recipe.placements[b].in_arena && lifetimes[b].first <= lifetimes[b].last && buffers[b].nbytes > 0) {
      by_start.push_back(b);
    }
  }
  std::vector<size_t> by_end = by_start;
  std::sort(by_start.begin(), by_start.end(), [&](size_t a, size_t b) { return lifetimes[a].first < lifetimes[b].first; });
  std::sort(by_end.begin(), by_end.end(), [&](size_t a, size_t b) { return lifetimes[a].last < lifetimes[b].last; });
  std::multimap<size_t, size_t> predecessors;  // after -> before
  for (const Succession& s : in_place) {
    if (recipe.placements[s.before].in_arena && recipe.placements[s.after].in_arena) {
      predecessors.emplace(s.after, s.before);
    }
  }
  std::vector<bool> handed_over(buffers.size());
  Ranges ranges;
  size_t ended = 0;
  for (size_t b : by_start) {
    for (; ended < by_end.size() && lifetimes[by_end[ended]].last < lifetimes[b].first; ++ended) {
      if (!handed_over[by_end[ended]]) {
        ranges.give(recipe.placements[by_end[ended]].arena_offset, size_of(by_end[ended]));
      }
    }
    const auto [first, last] = predecessors.equal_range(b);
    const auto before = std::find_if(first, last, [&](const auto& pair) { return !handed_over[pair.second]; });
    if (before != last) {
      handed_over[before->second] = true;
      recipe.placements[b].arena_offset = recipe.placements[before->second].arena_offset;
    } else {
      recipe.placements[b].arena_offset = ranges.take(size_of(b));
    }
  }
  recipe.arena_bytes = ranges.end();
}

// For every output the inputs whose memory it may take: those that its own loop reads in its place first, then those that died last. Which inputs
// are dead the run alone knows, so there are several.
void plan_donations(const std::vector<ir::Buffer>& buffers, const std::vector<Lifetime>& lifetimes, const std::vector<Succession>& in_place,
                    Recipe& recipe) {
  const auto is_output = [&](size_t b) { return buffers[b].kind == ir::BufferKind::kLocal && buffers[b].observable; };
  const auto fits = [&](size_t input, size_t output) {
    return buffers[input].kind == ir::BufferKind::kInput && buffers[input].nbytes == buffers[output].nbytes;
  };
  for (const Succession& s : in_place) {
    if (is_output(s.after) && fits(s.before, s.after)) {
      recipe.donations.emplace_back(s.after, s.before);
    }
  }
  std::unordered_map<int64_t, std::vector<size_t>> inputs;  // by size, in the order of their last use
  std::vector<size_t> by_end;
  for (size_t b = 0; b < buffers.size(); ++b) {
    if (buffers[b].kind == ir::BufferKind::kInput && buffers[b].nbytes > 0) {
      by_end.push_back(b);
    }
  }
  std::sort(by_end.begin(), by_end.end(), [&](size_t a, size_t b) { return lifetimes[a].last < lifetimes[b].last; });
  for (size_t b : by_end) {
    inputs[buffers[b].nbytes].push_back(b);
  }
  for (size_t b = 0; b < buffers.size(); ++b) {
    if (!is_output(b) || !inputs.contains(buffers[b].nbytes)) {
      continue;
    }
    const std::vector<size_t>& same_size = inputs[buffers[b].nbytes];
    auto input = std::partition_point(same_size.begin(), same_size.end(), [&](size_t a) { return lifetimes[a].last < lifetimes[b].first; });
    for (size_t n = 0; n < kCandidates && input != same_size.begin(); ++n) {
      recipe.donations.emplace_back(b, *--input);
    }
  }
}

}  // namespace

void plan_memory(const std::vector<ir::Buffer>& buffers, const std::vector<Lifetime>& lifetimes, const std::vector<Succession>& in_place,
                 Recipe& recipe) {
  recipe.placements.resize(buffers.size());
  for (size_t b = 0; b < buffers.size(); ++b) {
    recipe.placements[b].nbytes = buffers[b].nbytes;
    recipe.placements[b].in_arena = buffers[b].kind == ir::BufferKind::kLocal && !buffers[b].observable;
  }
  plan_arena(buffers, lifetimes, in_place, recipe);
  plan_donations(buffers, lifetimes, in_place, recipe);
}

}  // namespace torch_hpu::compiler
