#include "csrc/graph/captured.h"

#include <sstream>

#include "csrc/device/generator.h"
#include "csrc/device/stream_queue.h"
#include "csrc/ir/text.h"
#include "csrc/lazy/launch.h"
#include "csrc/lazy/sync.h"
#include "csrc/runtime/run.h"
#include "csrc/support/counters.h"

namespace torch_hpu::graph {

struct Captured::State {
  std::unique_ptr<lazy::Trace> trace;
  std::shared_ptr<const Recipe> recipe;
  device::PoolId pool;
  device::Block arena;
  std::vector<std::byte*> buffers;
  std::vector<BufferTag> tags;
  std::vector<int64_t> offsets;
  std::vector<ir::ScalarValue> scalars;
  std::vector<lazy::Memory*> written;  // memories that a run writes, owned by the trace
  std::vector<lazy::Memory*> inputs;
  std::vector<lazy::Memory*> freed_early;  // inputs that nobody could see any more when the capture ended: the graph's own
  // Last run, for the order across streams.
  device::StreamQueue* queue = nullptr;
  uint64_t ticket = 0;

  ~State() {
    device::free(trace->stream.device_index(), arena);
    device::release_pool(pool);
  }
};

Captured::Captured(std::unique_ptr<lazy::Trace> trace, device::PoolId pool) : state_(std::make_shared<State>()) {
  State& s = *state_;
  s.trace = std::move(trace);
  s.pool = pool;
  device::retain_pool(pool);
  const ir::Graph& graph = s.trace->graph;
  // A graph is worth compiling: tier auto would only delay it.
  const auto policy = lazy::tier_policy() == runtime::TierPolicy::kGeneric ? runtime::TierPolicy::kGeneric : runtime::TierPolicy::kCompiled;
  s.recipe = lazy::recipe_of(*s.trace, policy);
  s.arena = device::allocate(s.trace->stream.device_index(), static_cast<size_t>(s.recipe->arena_bytes), pool);
  s.buffers.resize(s.recipe->placements.size());
  s.tags.resize(s.trace->memories.size());
  for (size_t b = 0; b < s.trace->memories.size(); ++b) {
    lazy::Memory* memory = s.trace->memories[b].get();
    if (graph.buffers[b].kind == ir::BufferKind::kInput) {
      s.inputs.push_back(memory);
      if (!memory->observable.load()) {
        s.freed_early.push_back(memory);
      }
    }
    if (graph.buffers[b].written) {
      s.written.push_back(memory);
    }
  }
  for (const ir::Window& w : graph.windows) {
    s.offsets.push_back(w.offset);
  }
  for (const ir::Scalar& scalar : graph.scalars) {
    s.scalars.push_back(scalar.value);
  }
  // Outputs get their addresses now and keep them.
  for (size_t b = 0; b < s.buffers.size(); ++b) {
    if (s.recipe->placements[b].in_arena) {
      s.buffers[b] = s.arena.data + s.recipe->placements[b].arena_offset;
    } else if (b < s.trace->memories.size() && graph.buffers[b].kind == ir::BufferKind::kLocal) {
      s.trace->memories[b]->bind(pool);
      s.buffers[b] = s.trace->memories[b]->data;
    }
  }
}

Captured::~Captured() {
  if (state_->queue != nullptr) {
    const lazy::WithoutGil without_gil;
    state_->queue->wait(state_->ticket);
  }
}

void Captured::replay(c10::Stream stream) {
  State& s = *state_;
  for (const lazy::Memory* memory : s.inputs) {
    TORCH_CHECK(memory->observable.load(std::memory_order_relaxed) ||
                    std::find(s.freed_early.begin(), s.freed_early.end(), memory) != s.freed_early.end(),
                "[HPUGraph] replay: an input of the graph (", memory->nbytes,
                " bytes) was freed or resized after the capture. Keep captured"
                " inputs and parameters alive, and fill them with copy_().");
  }
  count(Counter::kGraphReplays);
  std::vector<std::pair<ir::ScalarId, std::pair<int64_t, int64_t>>> draws;
  for (const lazy::RandomDraw& draw : s.trace->draws) {
    auto* philox = device::philox(draw.generator);
    draws.push_back({draw.first, {static_cast<int64_t>(philox->current_seed()), static_cast<int64_t>(philox->reserve(draw.blocks))}});
  }
  const lazy::Lock lock = lazy::lock_recording();
  lazy::flush_locked(lock, stream, "replay", /*wake=*/false);
  device::StreamQueue& queue = device::queue_of(stream);
  std::vector<std::pair<device::StreamQueue*, uint64_t>> waits;
  for (const lazy::MemoryPtr& memory : s.trace->memories) {
    if (memory->trace != nullptr) {  // another stream has recorded work on it
      lazy::flush_locked(lock, memory->trace->stream, "replay", /*wake=*/true);
    }
    if (memory->queue != nullptr && memory->queue != &queue && memory->last_use > memory->queue->finished_ticket()) {
      waits.emplace_back(memory->queue, memory->last_use);
    }
  }
  if (s.queue != nullptr && s.queue != &queue) {
    waits.emplace_back(s.queue, s.ticket);
  }
  for (lazy::Memory* memory : s.written) {
    memory->version.fetch_add(1, std::memory_order_relaxed);
  }
  const uint64_t ticket = queue.enqueue(
      [state = state_, stream, waits = std::move(waits), draws = std::move(draws)] {
        State& s = *state;
        for (const auto& [source, t] : waits) {
          source->wait(t);
        }
        for (const auto& [id, values] : draws) {
          s.scalars[id].i = values.first;
          s.scalars[id + 1].i = values.second;
        }
        try {
          for (size_t b = 0; b < s.trace->memories.size(); ++b) {
            lazy::Memory& memory = *s.trace->memories[b];
            if (s.trace->graph.buffers[b].kind == ir::BufferKind::kInput) {
              memory.bind();
              if (memory.failure && !s.trace->defined_first[b]) {
                std::rethrow_exception(memory.failure->error);
              }
              s.buffers[b] = memory.data;
            }
            if (!memory.escaped.load(std::memory_order_relaxed)) {
              s.tags[b] = {memory.id, memory.version.load(std::memory_order_relaxed)};
            } else {
              s.tags[b] = {};
            }
          }
          runtime::run(*s.recipe, {s.buffers.data(), s.offsets.data(), s.scalars.data(), s.tags.data()});
        } catch (...) {
          lazy::keep_failure(stream, s.written, std::current_exception());
        }
      },
      /*wake=*/true);
  for (const lazy::MemoryPtr& memory : s.trace->memories) {
    memory->queue = &queue;
    memory->last_use = ticket;
    memory->produced = true;
  }
  s.queue = &queue;
  s.ticket = ticket;
}

std::map<std::string, int64_t> Captured::statistics() const {
  const State& s = *state_;
  std::map<std::string, int64_t> map{{"arena", s.recipe->arena_bytes},
                                     {"steps", static_cast<int64_t>(s.recipe->steps.size())},
                                     {"kernels", 0},
                                     {"library_calls", 0},
                                     {"extern_calls", 0},
                                     {"inputs", 0},
                                     {"outputs", 0}};
  for (const auto& step : s.recipe->steps) {
    ++map[step->kind() == StepKind::kKernel ? "kernels" : step->kind() == StepKind::kLibrary ? "library_calls" : "extern_calls"];
  }
  for (size_t b = 0; b < s.trace->memories.size(); ++b) {
    if (!s.recipe->placements[b].in_arena) {
      map[s.trace->graph.buffers[b].kind == ir::BufferKind::kInput ? "inputs" : "outputs"] +=
          static_cast<int64_t>(s.trace->memories[b]->nbytes);
    }
  }
  return map;
}

std::string Captured::text() const {
  std::ostringstream out;
  char id[16];
  std::snprintf(id, sizeof id, "%08x", static_cast<unsigned>(state_->recipe->id));
  out << "graph " << id << '\n';
  for (const auto& [name, n] : statistics()) {
    out << "  " << name << ": " << n << '\n';
  }
  for (const auto& step : state_->recipe->steps) {
    out << "  " << step->name() << '\n';
  }
  out << "\nrecorded:\n" << ir::to_string(state_->trace->graph) << "\ncompiled:\n" << state_->recipe->text;
  return out.str();
}

}  // namespace torch_hpu::graph
