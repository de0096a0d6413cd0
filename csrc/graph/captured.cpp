#include "csrc/graph/captured.h"

#include <algorithm>
#include <chrono>

#include "csrc/device/fork.h"
#include "csrc/device/generator.h"
#include "csrc/device/stream_queue.h"
#include "csrc/graph/pool_arena.h"
#include "csrc/graph/report.h"
#include "csrc/lazy/capture.h"
#include "csrc/lazy/failure.h"
#include "csrc/lazy/launch.h"
#include "csrc/lazy/sync.h"
#include "csrc/runtime/run.h"
#include "csrc/support/counters.h"
#include "csrc/support/hash.h"
#include "csrc/support/trace_spans.h"

namespace torch_hpu::graph {
namespace {

using Clock = std::chrono::steady_clock;

// A graph that takes less time than waking a worker runs on the thread that replays it.
constexpr auto kInline = std::chrono::microseconds(30);

// What one run supplies, fixed when it is queued.
struct Run {
  std::vector<std::pair<device::StreamQueue*, uint64_t>> waits;
  std::vector<std::pair<ir::ScalarId, std::pair<int64_t, int64_t>>> draws;  // seed and offset of random nodes
  std::vector<BufferTag> tags;
  std::shared_ptr<const ArenaBlock> arena;
  std::vector<Captured::Replacement> replacements;
};

lazy::Memory* memory_of(const at::Tensor& tensor) {
  return lazy::memory_of(tensor.storage().unsafeGetStorageImpl());
}

}  // namespace

struct Captured::State {
  std::unique_ptr<lazy::Trace> trace;
  std::shared_ptr<const Recipe> recipe;
  device::PoolId pool;
  std::shared_ptr<PoolArena> arena;
  std::vector<ir::BufferId> inputs, outputs;
  std::vector<ir::BufferId> visible;  // both: nobody else ever meets the memories of the rest, whose bytes are in the arena
  std::vector<bool> own;              // by BufferId: nobody else has to keep it alive
  // The arguments of a run. Runs of one graph never overlap, so they are kept from run to run.
  std::shared_ptr<const ArenaBlock> bound_arena;
  std::vector<std::byte*> buffers;
  std::vector<int64_t> offsets;
  std::vector<ir::ScalarValue> scalars;
  std::atomic<Clock::duration> last_duration{Clock::duration::max()};
  std::atomic<bool> measures{false};
  runtime::StepTimes times;
  // Last run, for the order across streams.
  device::StreamQueue* queue = nullptr;
  uint64_t ticket = 0;

  lazy::Memory& memory(ir::BufferId b) {
    return *trace->memories[b];
  }
  bool is_input(ir::BufferId b) const {
    return trace->graph.buffers[b].kind == ir::BufferKind::kInput;
  }
  void bind_memory();
  void bind_arena(std::shared_ptr<const ArenaBlock> block);
  void check_inputs() const;
  void execute(const Run& run);
  void execute_or_fail(const Run& run, c10::Stream stream) noexcept;  // see Note [Failures]
  void wait() {
    if (queue != nullptr && !device::forked()) {
      const lazy::WithoutGil without_gil;
      queue->wait(ticket);
    }
  }
  ~State() {
    device::release_pool(pool);
  }
};

Captured::Captured(std::unique_ptr<lazy::Trace> trace, device::PoolId pool) : state_(std::make_shared<State>()) {
  State& s = *state_;
  s.trace = std::move(trace);
  s.pool = pool;
  device::retain_pool(pool);
  const ir::Graph& graph = s.trace->graph;
  for (const ir::Window& w : graph.windows) {
    s.offsets.push_back(w.offset);
  }
  for (const ir::Scalar& scalar : graph.scalars) {
    s.scalars.push_back(scalar.value);
  }
  try {
    // A graph is worth compiling: tier auto would only delay it.
    const auto policy =
        lazy::tier_policy() == runtime::TierPolicy::kGeneric ? runtime::TierPolicy::kGeneric : runtime::TierPolicy::kCompiled;
    s.recipe = lazy::recipe_of(*s.trace, policy);
    s.bind_memory();
  } catch (...) {
    lazy::drop_capture(*s.trace);
    throw;
  }
  enlist(this);
}

Captured::~Captured() {
  strike(this);
  state_->wait();
}

// Outputs get their addresses now and keep them. Inputs are looked up at each run.
void Captured::State::bind_memory() {
  arena = PoolArena::of(pool);
  arena->reserve(static_cast<size_t>(recipe->arena_bytes));
  buffers.resize(recipe->placements.size());
  for (ir::BufferId b = 0; b < trace->memories.size(); ++b) {
    if (is_input(b)) {
      inputs.push_back(b);
    } else if (!recipe->placements[b].in_arena) {
      memory(b).bind(pool);
      outputs.push_back(b);
    }
    if (is_input(b) || !recipe->placements[b].in_arena) {
      visible.push_back(b);
    }
    // An input that nobody could see any more when the capture ended is the graph's own, as is the memory of its pool.
    own.push_back(!is_input(b) || !memory(b).observable.load() || memory(b).pool() == pool);
  }
}

void Captured::State::bind_arena(std::shared_ptr<const ArenaBlock> block) {
  for (ir::BufferId b = 0; b < buffers.size(); ++b) {
    if (recipe->placements[b].in_arena) {
      buffers[b] = block->block.data + recipe->placements[b].arena_offset;
    }
  }
  bound_arena = std::move(block);
}

void Captured::State::check_inputs() const {
  for (ir::BufferId b : inputs) {
    const lazy::Memory& memory = *trace->memories[b];
    TORCH_CHECK(own[b] || memory.observable.load(std::memory_order_relaxed), "[HPUGraph] replay: an input of the graph (", memory.nbytes,
                " bytes) was freed or resized after the capture. Keep captured inputs and parameters alive, and fill them with copy_(); or"
                " rebind() them.");
  }
}

void Captured::State::execute(const Run& run) {
  if (run.arena != bound_arena) {
    bind_arena(run.arena);
  }
  for (const auto& [id, values] : run.draws) {
    scalars[id].i = values.first;
    scalars[id + 1].i = values.second;
  }
  for (ir::BufferId b : inputs) {
    memory(b).bind();
    if (!trace->defined_first[b]) {
      lazy::throw_if_failed(memory(b));
    }
    buffers[b] = memory(b).data;
  }
  for (ir::BufferId b : outputs) {
    buffers[b] = memory(b).data;
  }
  for (const Replacement& r : run.replacements) {
    r.memory->bind();
    if (!trace->defined_first[r.buffer]) {
      lazy::throw_if_failed(*r.memory);
    }
    buffers[r.buffer] = r.memory->data + r.offset;
  }
  std::optional<Span> span;
  if (C10_UNLIKELY(spans_enabled())) {
    span.emplace("graph " + hex8(recipe->id), hex8(recipe->id));
  }
  lazy::run_recipe(*trace, *recipe, {buffers.data(), offsets.data(), scalars.data(), run.tags.data()}, measures ? &times : nullptr);
  for (ir::BufferId b : visible) {
    if (trace->defined_first[b] || !is_input(b)) {
      lazy::heal(memory(b));  // of an earlier run's failure
    }
  }
}

void Captured::State::execute_or_fail(const Run& run, c10::Stream stream) noexcept {
  const auto start = Clock::now();
  try {
    execute(run);
    last_duration.store(Clock::now() - start, std::memory_order_relaxed);
  } catch (...) {
    last_duration.store(Clock::duration::max(), std::memory_order_relaxed);  // of a whole run nothing is known
    std::vector<lazy::Memory*> written;
    for (ir::BufferId b : visible) {
      if (trace->graph.buffers[b].written) {
        written.push_back(&memory(b));
      }
    }
    for (const Replacement& r : run.replacements) {
      if (trace->graph.buffers[r.buffer].written) {
        written.push_back(r.memory.get());
      }
    }
    lazy::keep_failure(stream, written, std::current_exception());
  }
}

void Captured::replay(c10::Stream stream, std::vector<Replacement> replacements) {
  State& s = *state_;
  TORCH_CHECK(!lazy::capturing(stream), "[HPUGraph] replay: the current stream is being captured; graphs cannot be nested");
  s.check_inputs();
  count(Counter::kGraphReplays);
  Run run;
  for (const lazy::RandomDraw& draw : s.trace->draws) {
    auto* philox = device::philox(draw.generator);
    run.draws.push_back({draw.first, {static_cast<int64_t>(philox->current_seed()), static_cast<int64_t>(philox->reserve(draw.blocks))}});
  }
  run.arena = s.arena->block();
  device::StreamQueue& queue = device::queue_of(stream);
  bool runs_here = false;
  uint64_t ticket = 0;
  {
    const lazy::Lock lock = lazy::lock_recording();
    lazy::flush_locked(lock, stream, "replay", /*wake=*/false);
    const auto wait_for = [&](device::StreamQueue* other, uint64_t other_ticket) {
      if (other != nullptr && other != &queue && other_ticket > other->finished_ticket()) {
        run.waits.emplace_back(other, other_ticket);
      }
    };
    const auto enter = [&](lazy::Memory& memory, ir::BufferId b) {
      if (memory.trace != nullptr) {  // another stream has recorded work on it
        lazy::flush_locked(lock, memory.trace->stream, "replay", /*wake=*/true);
      }
      wait_for(memory.queue, memory.last_use);
      if (s.trace->graph.buffers[b].written) {
        memory.version.fetch_add(1, std::memory_order_relaxed);
      }
    };
    run.tags.resize(s.trace->memories.size());
    for (ir::BufferId b : s.visible) {
      enter(s.memory(b), b);
      run.tags[b] = lazy::tag_of(s.memory(b));
    }
    for (const Replacement& r : replacements) {
      enter(*r.memory, r.buffer);
    }
    wait_for(s.queue, s.ticket);
    wait_for(s.arena->queue, s.arena->ticket);
    c10::SmallVector<lazy::Memory*, 8> replacing;
    for (const Replacement& r : replacements) {
      run.tags[r.buffer] = r.offset == 0 ? lazy::tag_of(*r.memory) : BufferTag{};  // a tag stands for the bytes from the first one on
      replacing.push_back(r.memory.get());
    }
    run.replacements = std::move(replacements);
    if (run.waits.empty() && s.last_duration.load(std::memory_order_relaxed) < kInline) {
      ticket = queue.begin_here();
    }
    runs_here = ticket != 0;
    if (!runs_here) {
      ticket = queue.enqueue([state = state_, stream, run = std::move(run), profiler = ProfilerState()] {
        const ProfilerState::Scope profiled(profiler);
        for (const auto& [source, t] : run.waits) {
          source->wait(t);
        }
        state->execute_or_fail(run, stream);
      });
    }
    const auto leave = [&](lazy::Memory& memory) {
      memory.queue = &queue;
      memory.last_use = ticket;
      memory.produced = true;
    };
    for (ir::BufferId b : s.visible) {
      leave(s.memory(b));
    }
    for (lazy::Memory* memory : replacing) {
      leave(*memory);
    }
    s.queue = s.arena->queue = &queue;
    s.ticket = s.arena->ticket = ticket;
  }
  if (runs_here) {  // with the GIL, if this thread has it: giving it up would take a good part of the time
    s.execute_or_fail(run, stream);
    queue.end_here();
  }
}

void Captured::rebind(const at::Tensor& captured, const at::Tensor& replacement) {
  State& s = *state_;
  s.wait();  // queued runs still use the old one
  TORCH_CHECK(replacement.device() == captured.device() && replacement.dtype() == captured.dtype() &&
                  replacement.sizes().equals(captured.sizes()) && replacement.strides().equals(captured.strides()) &&
                  replacement.storage_offset() == captured.storage_offset(),
              "[HPUGraph] rebind: the replacement must have the captured tensor's device, dtype, sizes, strides and offset; got ",
              replacement.toString(), replacement.sizes(), ", expected ", captured.toString(), captured.sizes());
  const lazy::Lock lock = lazy::lock_recording();
  const size_t b = index_of(captured);
  TORCH_CHECK(b < s.trace->memories.size() && s.is_input(static_cast<ir::BufferId>(b)),
              "[HPUGraph] rebind: the tensor is no input of this graph");
  lazy::Memory* from = memory_of(captured);
  lazy::Memory* to = memory_of(replacement);
  if (from == to) {
    return;
  }
  TORCH_CHECK(buffer_of(replacement) == nullptr, "[HPUGraph] rebind: the replacement's storage is used by the graph already");
  TORCH_CHECK(to->nbytes >= from->nbytes, "[HPUGraph] rebind: the replacement's storage has ", to->nbytes, " bytes, expected at least ",
              from->nbytes);
  s.own[b] = false;
  s.trace->memories[b] = lazy::MemoryPtr::reclaim_copy(to);
}

size_t Captured::index_of(const lazy::Memory& memory) const {
  const auto& memories = trace().memories;
  return static_cast<size_t>(std::find_if(memories.begin(), memories.end(), [&](const lazy::MemoryPtr& m) { return m.get() == &memory; }) -
                             memories.begin());
}

size_t Captured::index_of(const at::Tensor& tensor) const {
  return index_of(*memory_of(tensor));
}

bool Captured::holds(const lazy::Memory& memory) const {
  return index_of(memory) < trace().memories.size();
}

const ir::Buffer* Captured::buffer_of(const at::Tensor& tensor) const {
  const size_t b = index_of(tensor);
  return b < trace().memories.size() ? &trace().graph.buffers[b] : nullptr;
}

void Captured::measure() {
  state_->measures = true;
}

std::vector<Captured::StepReport> Captured::steps() const {
  state_->wait();
  std::vector<StepReport> reports;
  for (size_t i = 0; i < recipe().steps.size(); ++i) {
    StepReport report{recipe().steps[i]->name(), recipe().steps[i]->kind(), recipe().step_bytes[i]};
    if (i < state_->times.seconds.size()) {
      report.runs = state_->times.runs;
      report.seconds = state_->times.seconds[i];
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

const lazy::Trace& Captured::trace() const {
  return *state_->trace;
}

device::PoolId Captured::pool() const {
  return state_->pool;
}

const Recipe& Captured::recipe() const {
  return *state_->recipe;
}

std::map<std::string, int64_t> Captured::statistics() const {
  std::map<std::string, int64_t> map{{"arena", recipe().arena_bytes},
                                     {"steps", static_cast<int64_t>(recipe().steps.size())},
                                     {"kernels", 0},
                                     {"library_calls", 0},
                                     {"extern_calls", 0},
                                     {"inputs", 0},
                                     {"outputs", 0}};
  for (const auto& step : recipe().steps) {
    ++map[step->kind() == StepKind::kKernel ? "kernels" : step->kind() == StepKind::kLibrary ? "library_calls" : "extern_calls"];
  }
  for (ir::BufferId b = 0; b < trace().memories.size(); ++b) {
    if (!recipe().placements[b].in_arena) {
      map[state_->is_input(b) ? "inputs" : "outputs"] += static_cast<int64_t>(trace().memories[b]->nbytes);
    }
  }
  return map;
}

}  // namespace torch_hpu::graph
