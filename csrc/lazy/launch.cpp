#include "csrc/lazy/launch.h"

#include <map>

#include "csrc/compiler/compile.h"
#include "csrc/device/stream_queue.h"
#include "csrc/runtime/run.h"
#include "csrc/support/counters.h"
#include "csrc/support/env.h"
#include "csrc/support/trace_spans.h"

namespace torch_hpu::lazy {
namespace {

struct Wait {
  device::StreamQueue* queue;
  uint64_t ticket;
};

struct StreamErrors {
  std::mutex mutex;
  std::map<std::pair<c10::DeviceIndex, c10::StreamId>, std::exception_ptr> errors;
};

StreamErrors& stream_errors() {
  static auto* instance = new StreamErrors;
  return *instance;
}

// A block of the caching allocator for the time of one run.
class Arena {
 public:
  Arena(c10::DeviceIndex device, size_t nbytes) : device_(device), block_(device::allocate(device, nbytes)) {}
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
    if (memory.failure && !trace.defined_first[b]) {
      std::rethrow_exception(memory.failure->error);
    }
    if (graph.buffers[b].kind == ir::BufferKind::kInput) {
      memory.bind();  // only bytes that nobody ever defined are not bound yet
    }
  }
  const std::shared_ptr<const Recipe> recipe = recipe_of(trace, policy);
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
  runtime::run(*recipe, {buffers.data(), offsets.data(), scalars.data(), tags.data()});
}

void run_task(Trace& trace, const std::vector<BufferTag>& tags, const std::vector<Wait>& waits, runtime::TierPolicy policy) {
  for (const Wait& w : waits) {
    w.queue->wait(w.ticket);
  }
  try {
    Span span("recipe");
    execute(trace, tags, policy);
    for (size_t b = 0; b < trace.memories.size(); ++b) {
      if (trace.defined_first[b]) {
        trace.memories[b]->failure = nullptr;
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

std::shared_ptr<const Recipe> recipe_of(const Trace& trace, runtime::TierPolicy policy) {
  std::vector<bool> observable;
  observable.reserve(trace.graph.buffers.size());
  for (const ir::Buffer& b : trace.graph.buffers) {
    observable.push_back(b.observable);
  }
  const uint64_t hash = hash_words(trace.words.data(), trace.words.size());
  // Tier auto compiles on another thread, after this call: then the function must own its graph.
  const ir::Graph* graph = &trace.graph;
  std::shared_ptr<const ir::Graph> owned;
  if (policy == runtime::TierPolicy::kAuto) {
    owned = std::make_shared<const ir::Graph>(trace.graph);
    graph = owned.get();
  }
  auto compile = [graph, owned, hash](const std::vector<bool>& observable, bool generic) {
    ir::Graph variant = *graph;
    for (size_t b = 0; b < observable.size(); ++b) {
      variant.buffers[b].observable = observable[b];
    }
    auto recipe = compiler::compile(variant, generic ? compiler::Tier::kGeneric : compiler::Tier::kCompiled);
    recipe->id = hash & 0xffffffff;
    return recipe;
  };
  return runtime::find_or_compile({trace.words, hash, observable}, compile, policy);
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
  const uint64_t ticket =
      queue.enqueue([shared, tags = std::move(tags), waits = std::move(waits), policy] { run_task(*shared, tags, waits, policy); }, wake);
  for (size_t b = 0; b < shared->memories.size(); ++b) {
    Memory& memory = *shared->memories[b];
    memory.trace = nullptr;
    memory.buffer = ir::kNone;
    memory.queue = &queue;
    memory.last_use = ticket;
    memory.produced = true;
  }
}

void keep_failure(c10::Stream stream, const std::vector<Memory*>& written, std::exception_ptr error) {
  const auto failure = std::make_shared<Failure>(Failure{error});
  for (Memory* memory : written) {
    memory->failure = failure;
  }
  auto& all = stream_errors();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.errors.try_emplace({stream.device_index(), stream.id()}, std::move(error));  // the first one is the one to report
}

std::exception_ptr take_stream_error(c10::Stream stream) {
  auto& all = stream_errors();
  std::lock_guard<std::mutex> lock(all.mutex);
  auto it = all.errors.find({stream.device_index(), stream.id()});
  if (it == all.errors.end()) {
    return nullptr;
  }
  std::exception_ptr error = it->second;
  all.errors.erase(it);
  return error;
}

}  // namespace torch_hpu::lazy
