#include "csrc/lazy/trace.h"

#include <algorithm>

#include "csrc/ir/relation.h"
#include "csrc/support/hash.h"

namespace torch_hpu::lazy {

ir::BufferId Trace::buffer_of(Memory* memory, bool first_use_writes) {
  if (memory->trace == this) {
    return memory->buffer;
  }
  const auto id = static_cast<ir::BufferId>(graph.buffers.size());
  // Undefined bytes that are read stay what they are: an input.
  const bool local = !memory->produced && first_use_writes;
  if (capturing() && !local) {
    auto [it, added] = capture->inputs.try_emplace(memory, id);
    if (!added) {
      return it->second;
    }
  } else {
    TORCH_INTERNAL_ASSERT(memory->trace == nullptr);
    memory->trace = this;
    memory->buffer = id;
  }
  graph.buffers.push_back({static_cast<int64_t>(memory->nbytes), local ? ir::BufferKind::kLocal : ir::BufferKind::kInput, true, false});
  memories.push_back(MemoryPtr::reclaim_copy(memory));
  defined_first.push_back(false);
  if (local) {
    pending_bytes += static_cast<int64_t>(memory->nbytes);
  }
  return id;
}

void Trace::set_observability() {
  for (size_t b = 0; b < memories.size(); ++b) {
    graph.buffers[b].observable =
        graph.buffers[b].kind == ir::BufferKind::kInput || memories[b]->observable.load(std::memory_order_acquire);
  }
}

void Trace::tag(std::vector<BufferTag>& tags) const {
  tags.resize(memories.size());
  for (size_t b = 0; b < memories.size(); ++b) {
    tags[b] = tag_of(*memories[b]);
  }
}

BufferTag tag_of(const Memory& memory) {
  return memory.escaped.load(std::memory_order_relaxed) ? BufferTag{}
                                                        : BufferTag{memory.id, memory.version.load(std::memory_order_relaxed)};
}

void Trace::finish_key() {
  node_words.push_back(static_cast<uint32_t>(words.size()));
  // The distinct windows of each input that is written, by a hash of their geometry. An in-place loop over one tensor uses one window many
  // times, and that must not cost a comparison with every earlier use.
  struct Distinct {
    std::vector<ir::WindowId> windows;
    std::unordered_multimap<uint64_t, size_t> by_hash;
  };
  std::unordered_map<ir::BufferId, Distinct> written_inputs;
  Words geometry;
  for (ir::WindowId w = 0; w < graph.windows.size(); ++w) {
    const ir::Window& window = graph.windows[w];
    const ir::Buffer& buffer = graph.buffers[window.buffer];
    if (!buffer.written || buffer.kind != ir::BufferKind::kInput) {
      continue;  // offsets into local buffers are structure already
    }
    Distinct& distinct = written_inputs[window.buffer];
    geometry.assign({static_cast<uint64_t>(window.offset), static_cast<uint64_t>(window.dtype)});
    geometry.insert(geometry.end(), window.sizes.begin(), window.sizes.end());
    geometry.insert(geometry.end(), window.strides.begin(), window.strides.end());
    const uint64_t hash = hash_words(geometry.data(), geometry.size());
    const auto [first, last] = distinct.by_hash.equal_range(hash);
    const auto same = std::find_if(first, last, [&](const auto& entry) {
      return ir::relation(graph.windows[distinct.windows[entry.second]], window) == ir::Relation::kEqual;
    });
    if (same != last) {
      words.push_back(same->second);
      continue;
    }
    uint64_t code = 1;
    for (ir::WindowId other : distinct.windows) {
      code = code * 3 + static_cast<uint64_t>(ir::relation(graph.windows[other], window));
      if (code >> 60) {
        words.push_back(code);
        code = 1;
      }
    }
    words.push_back(distinct.windows.size());
    words.push_back(code);
    distinct.by_hash.emplace(hash, distinct.windows.size());
    distinct.windows.push_back(w);
  }
  for (const ir::Buffer& buffer : graph.buffers) {
    words.push_back(static_cast<uint64_t>(buffer.nbytes) << 2 | static_cast<uint64_t>(buffer.kind) << 1 |
                    static_cast<uint64_t>(buffer.written));
  }
}

}  // namespace torch_hpu::lazy
