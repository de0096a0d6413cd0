#include "csrc/lazy/launch.h"

#include <optional>

#include "csrc/compiler/compile.h"
#include "csrc/device/stream_queue.h"
#include "csrc/lazy/explain.h"
#include "csrc/lazy/failure.h"
#include "csrc/support/counters.h"
#include "csrc/support/env.h"
#include "csrc/support/hash.h"
#include "csrc/support/trace_spans.h"

namespace torch_hpu::lazy {
namespace {

struct Wait {
  device::StreamQueue* queue;
  uint64_t ticket;
};

// A block of the caching allocator for the time of one run.
class Arena {
 public:
  Arena(c10::DeviceIndex device, size_t nbytes) : device_(device), block_(device::allocate(device, nbytes, {0, 0}, device::For::kArena)) {}
  ~Arena() {
    device::free(device_, block_);
  }
  std::byte* data() const {
    return block_.data;
  }

 private:
  c10::DeviceIndex device_;
  device::Block block_;
};

// Gives memory that dies with this trace to outputs. An input is dead when no storage shows it and nothing but the trace holds it: no capture, no
// task of another stream, no alias on the host.
void donate(const Trace& trace, const Recipe& recipe) {
  for (const auto& [output, input] : recipe.donations) {
    const MemoryPtr& from = trace.memories[input];
    if (!from->observable.load(std::memory_order_acquire) && from.use_count() == 1) {
      std::atomic_thread_fence(std::memory_order_acquire);  // whoever held it last has done with the bytes
      trace.memories[output]->take_block(*from);
    }
  }
}

void execute(Trace& trace, const std::vector<BufferTag>& tags, runtime::TierPolicy policy) {
  const ir::Graph& graph = trace.graph;
  for (size_t b = 0; b < trace.memories.size(); ++b) {
    Memory& memory = *trace.memories[b];
    if (!trace.defined_first[b]) {
      throw_if_failed(memory);
    }
    if (graph.buffers[b].kind == ir::BufferKind::kInput) {
      memory.bind();  // only bytes that nobody ever defined are not bound yet
    }
  }
  const std::shared_ptr<const Recipe> recipe = recipe_of(trace, policy);
  std::optional<Span> span;
  if (C10_UNLIKELY(spans_enabled())) {
    span.emplace("graph " + hex8(recipe->id), hex8(recipe->id));
  }
  const Arena arena(trace.stream.device_index(), static_cast<size_t>(recipe->arena_bytes));
  donate(trace, *recipe);
  std::vector<std::byte*> buffers(recipe->placements.size());
  for (size_t b = 0; b < buffers.size(); ++b) {
    if (recipe->placements[b].in_arena) {
      buffers[b] = arena.data() + recipe->placements[b].arena_offset;
    } else if (b < trace.memories.size()) {
      Memory& memory = *trace.memories[b];
      memory.bind();
      buffers[b] = memory.data;
    }
  }
  std::vector<int64_t> offsets(graph.windows.size());
  for (size_t w = 0; w < offsets.size(); ++w) {
    offsets[w] = graph.windows[w].offset;
  }
  std::vector<ir::ScalarValue> scalars(graph.scalars.size());
  for (size_t s = 0; s < scalars.size(); ++s) {
    scalars[s] = graph.scalars[s].value;
  }
  run_recipe(trace, *recipe, {buffers.data(), offsets.data(), scalars.data(), tags.data()});
}

void run_task(Trace& trace, const std::vector<BufferTag>& tags, const std::vector<Wait>& waits, runtime::TierPolicy policy) {
  for (const Wait& w : waits) {
    w.queue->wait(w.ticket);
  }
  try {
    execute(trace, tags, policy);
    for (size_t b = 0; b < trace.memories.size(); ++b) {
      if (trace.defined_first[b]) {
        heal(*trace.memories[b]);
      }
    }
  } catch (...) {
    std::vector<Memory*> written;
    for (size_t b = 0; b < trace.memories.size(); ++b) {
      if (trace.graph.buffers[b].written) {
        written.push_back(trace.memories[b].get());
      }
    }
    keep_failure(trace.stream, written, std::current_exception());
  }
}

// What a recipe is made of.
struct Source {
  const ir::Graph* graph;
  const Words* words;
  const std::vector<uint32_t>* node_words;
  const std::vector<uint64_t>* places;
  uint64_t id;
};

std::unique_ptr<Recipe> compile(const Source& source, const std::vector<bool>& observable, bool generic) {
  ir::Graph variant = *source.graph;
  for (size_t b = 0; b < observable.size(); ++b) {
    variant.buffers[b].observable = observable[b];
  }
  auto recipe = compiler::compile(variant, generic ? compiler::Tier::kGeneric : compiler::Tier::kCompiled, source.id);
  if (!generic && !recipe->from_disk) {
    explain_compilation({*source.graph, *source.words, *source.node_words, *source.places, observable}, hex8(source.id));
  }
  return recipe;
}

}  // namespace

runtime::TierPolicy tier_policy() {
  if (eager_mode()) {
    return runtime::TierPolicy::kGeneric;
  }
  const std::string& tier = options().tier;
  return tier == "generic"    ? runtime::TierPolicy::kGeneric
         : tier == "compiled" ? runtime::TierPolicy::kCompiled
                              : runtime::TierPolicy::kAuto;
}

void prepare() {
  if (options().prepare && tier_policy() != runtime::TierPolicy::kGeneric) {
    compiler::prepare();
  }
}

std::shared_ptr<const Recipe> recipe_of(const Trace& trace, runtime::TierPolicy policy) {
  std::vector<bool> observable;
  observable.reserve(trace.graph.buffers.size());
  for (const ir::Buffer& b : trace.graph.buffers) {
    observable.push_back(b.observable);
  }
  const uint64_t hash = hash_words(trace.words.data(), trace.words.size());
  const Source source{&trace.graph, &trace.words, &trace.node_words, &trace.places, hash & 0xffffffff};
  auto now = [source](const std::vector<bool>& wanted, bool generic) { return compile(source, wanted, generic); };
  auto later = [&trace, id = source.id]() -> runtime::CompileFn {
    struct Copies {
      ir::Graph graph;
      Words words;
      std::vector<uint32_t> node_words;
      std::vector<uint64_t> places;
    };
    auto owned = std::make_shared<const Copies>(Copies{trace.graph, trace.words, trace.node_words, trace.places});
    return [owned, id](const std::vector<bool>& wanted, bool generic) {
      return compile({&owned->graph, &owned->words, &owned->node_words, &owned->places, id}, wanted, generic);
    };
  };
  return runtime::find_or_compile({trace.words, hash, observable}, {now, later}, policy);
}

void launch(const Lock&, std::unique_ptr<Trace> trace, runtime::TierPolicy policy, bool wake) {
  trace->finish_key();
  trace->set_observability();
  device::StreamQueue& queue = device::queue_of(trace->stream);
  std::vector<Wait> waits;
  for (const MemoryPtr& memory : trace->memories) {
    if (memory->queue != nullptr && memory->queue != &queue && memory->last_use > memory->queue->finished_ticket()) {
      waits.push_back({memory->queue, memory->last_use});
    }
  }
  std::vector<BufferTag> tags;
  trace->tag(tags);
  std::shared_ptr<Trace> shared = std::move(trace);
  const uint64_t ticket = queue.enqueue(
      [shared, tags = std::move(tags), waits = std::move(waits), policy, profiler = ProfilerState()] {
        const ProfilerState::Scope profiled(profiler);
        run_task(*shared, tags, waits, policy);
      },
      wake);
  for (size_t b = 0; b < shared->memories.size(); ++b) {
    Memory& memory = *shared->memories[b];
    memory.trace = nullptr;
    memory.buffer = ir::kNone;
    memory.queue = &queue;
    memory.last_use = ticket;
    memory.produced = true;
  }
}

}  // namespace torch_hpu::lazy
