#include "csrc/lazy/trace.h"

#include "csrc/ir/relation.h"

namespace torch_hpu::lazy {

uint64_t hash_words(const uint64_t* words, size_t n, uint64_t seed) {
  // Multiply-fold over two lanes (the 128-bit product mixes both halves).
  uint64_t h = seed ^ (0x9E3779B97F4A7C15ull * (n + 1));
  for (size_t i = 0; i < n; ++i) {
    const auto product = static_cast<unsigned __int128>(h ^ words[i]) * 0xA0761D6478BD642Full;
    h = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  return h;
}

ir::BufferId Trace::buffer_of(Memory* memory, bool first_use_writes) {
  if (memory->trace == this) {
    return memory->buffer;
  }
  const auto id = static_cast<ir::BufferId>(graph.buffers.size());
  // Undefined bytes that are read stay what they are: an input.
  const bool local = !memory->produced && first_use_writes;
  if (capturing && !local) {
    auto [it, added] = captured_inputs.try_emplace(memory, id);
    if (!added) {
      return it->second;
    }
  } else {
    TORCH_INTERNAL_ASSERT(memory->trace == nullptr);
    memory->trace = this;
    memory->buffer = id;
  }
  graph.buffers.push_back(
      {static_cast<int64_t>(memory->nbytes), local ? ir::BufferKind::kLocal : ir::BufferKind::kInput, true, false});
  memories.push_back(MemoryPtr::reclaim_copy(memory));
  defined_first.push_back(false);
  if (local) {
    pending_bytes += static_cast<int64_t>(memory->nbytes);
  }
  return id;
}

void Trace::set_observability() {
  for (size_t b = 0; b < memories.size(); ++b) {
    graph.buffers[b].observable = graph.buffers[b].kind == ir::BufferKind::kInput ||
        memories[b]->observable.load(std::memory_order_acquire);
  }
}

void Trace::finish_key() {
  std::vector<std::vector<ir::WindowId>> windows_of(graph.buffers.size());
  for (ir::WindowId w = 0; w < graph.windows.size(); ++w) {
    const ir::Window& window = graph.windows[w];
    const ir::Buffer& buffer = graph.buffers[window.buffer];
    if (!buffer.written || buffer.kind != ir::BufferKind::kInput) {
      continue; // offsets into local buffers are structure already
    }
    auto& others = windows_of[window.buffer];
    uint64_t code = 1;
    for (ir::WindowId other : others) {
      code = code * 3 + static_cast<uint64_t>(ir::relation(graph.windows[other], window));
      if (code >> 60) {
        words.push_back(code);
        code = 1;
      }
    }
    words.push_back(code);
    others.push_back(w);
  }
  for (const ir::Buffer& buffer : graph.buffers) {
    words.push_back(static_cast<uint64_t>(buffer.nbytes) << 2 | static_cast<uint64_t>(buffer.kind) << 1 |
                    static_cast<uint64_t>(buffer.written));
  }
}

} // namespace torch_hpu::lazy
