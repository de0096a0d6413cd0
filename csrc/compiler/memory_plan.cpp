#include "csrc/compiler/memory_plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <unordered_map>

namespace torch_hpu::compiler {
namespace {

constexpr int64_t kAlign = 64;
constexpr size_t kCandidates = 8;  // inputs offered to one output

// Bytes of the arena that one buffer uses, or several one after the other, each in the place of the one before.
struct Block {
  int64_t size = 0;
  Lifetime lifetime;
  std::vector<size_t> buffers;
  int64_t offset = 0;
};

std::vector<Block> blocks_of(const std::vector<ir::Buffer>& buffers, const std::vector<Lifetime>& lifetimes,
                             const std::vector<Succession>& in_place, const Recipe& recipe) {
  std::vector<size_t> by_start;
  for (size_t b = 0; b < buffers.size(); ++b) {
    if (recipe.placements[b].in_arena && lifetimes[b].first <= lifetimes[b].last && buffers[b].nbytes > 0) {
      by_start.push_back(b);
    }
  }
  std::stable_sort(by_start.begin(), by_start.end(), [&](size_t a, size_t b) { return lifetimes[a].first < lifetimes[b].first; });
  std::multimap<size_t, size_t> predecessors;  // after -> before
  for (const Succession& s : in_place) {
    if (recipe.placements[s.before].in_arena && recipe.placements[s.after].in_arena) {
      predecessors.emplace(s.after, s.before);
    }
  }
  std::vector<Block> blocks;
  std::vector<size_t> block_of(buffers.size(), SIZE_MAX);
  for (size_t b : by_start) {
    const auto [first, last] = predecessors.equal_range(b);
    // A predecessor that nobody has succeeded yet.
    const auto before = std::find_if(first, last, [&](const auto& pair) {
      return block_of[pair.second] != SIZE_MAX && blocks[block_of[pair.second]].buffers.back() == pair.second;
    });
    block_of[b] = before != last ? block_of[before->second] : blocks.size();
    if (before == last) {
      blocks.emplace_back();
    }
    Block& block = blocks[block_of[b]];
    block.size = std::max(block.size, (buffers[b].nbytes + kAlign - 1) / kAlign * kAlign);
    block.lifetime.touch(lifetimes[b].first);
    block.lifetime.touch(lifetimes[b].last);
    block.buffers.push_back(b);
  }
  return blocks;
}

// The largest blocks first, each into the smallest gap that it fits into between those that live when it does (greedy by size: Pisarchyk and
// Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020). Comes within a few per cent of what lives at one time.
void plan_arena(const std::vector<ir::Buffer>& buffers, const std::vector<Lifetime>& lifetimes, const std::vector<Succession>& in_place,
                Recipe& recipe) {
  std::vector<Block> blocks = blocks_of(buffers, lifetimes, in_place, recipe);
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.size > b.size; });
  std::vector<const Block*> placed;  // by offset
  for (Block& block : blocks) {
    int64_t end = 0, best = std::numeric_limits<int64_t>::max();
    for (const Block* other : placed) {
      if (other->lifetime.last < block.lifetime.first || block.lifetime.last < other->lifetime.first) {
        continue;
      }
      const int64_t gap = other->offset - end;
      if (gap >= block.size && gap < best) {
        best = gap;
        block.offset = end;
      }
      end = std::max(end, other->offset + other->size);
    }
    if (best == std::numeric_limits<int64_t>::max()) {
      block.offset = end;
    }
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), &block, [](const Block* a, const Block* b) { return a->offset < b->offset; }),
        &block);
    recipe.arena_bytes = std::max(recipe.arena_bytes, block.offset + block.size);
    for (size_t b : block.buffers) {
      recipe.placements[b].arena_offset = block.offset;
    }
  }
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
