#include "csrc/lazy/record.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/TensorImpl.h>
#include <torch/csrc/autograd/graph_task.h>

#include "csrc/device/device.h"
#include "csrc/device/generator.h"
#include "csrc/ir/op_registry.h"
#include "csrc/ir/relation.h"
#include "csrc/lazy/capture.h"
#include "csrc/lazy/place.h"
#include "csrc/lazy/state.h"
#include "csrc/lazy/sync.h"
#include "csrc/support/counters.h"
#include "csrc/support/env.h"
#include "csrc/support/hash.h"

namespace torch_hpu::lazy {
namespace {

void push_geometry(Words& words, const ir::Window& w) {
  words.push_back(static_cast<uint64_t>(w.dtype) | static_cast<uint64_t>(w.conj) << 8 | w.sizes.size() << 16);
  words.insert(words.end(), w.sizes.begin(), w.sizes.end());
  words.insert(words.end(), w.strides.begin(), w.strides.end());
}

// The running capture that has an operand of the call among its values, if any. Then the call is part of that capture, whatever stream it was
// made on.
Trace* capture_of_operands(const Lock&, const Call& call) {
  for (c10::StorageImpl* storage : call.storages) {
    const Memory* memory = memory_of(storage);
    if (memory->trace != nullptr && memory->trace->capturing()) {
      return memory->trace;
    }
  }
  return nullptr;
}

Trace& select_trace(const Lock& lock, const Call& call, c10::DeviceIndex device) {
  Trace* trace = capture_of_operands(lock, call);
  return trace != nullptr ? *trace : open_trace(lock, device::current_stream(device));
}

// Random ops use at most one Philox block per element of what they fill.
uint64_t random_blocks(const Call& call, const Metas& metas) {
  int64_t n = 0;
  for (const ir::TensorMeta& meta : metas) {
    n = std::max<int64_t>(n, c10::multiply_integers(meta.sizes));
  }
  if (metas.empty() && !call.windows.empty()) {
    n = call.windows[0].numel();
  }
  return static_cast<uint64_t>(std::max<int64_t>(n, 1));
}

bool goes_to_window(c10::ArrayRef<Destination> destinations, size_t i) {
  return !destinations.empty() && destinations[i].window != Destination::kFresh;
}

// A tensor for every return that has no destination.
std::vector<at::Tensor> fresh_returns(const Metas& metas, c10::ArrayRef<Destination> destinations, c10::DeviceIndex device) {
  std::vector<at::Tensor> fresh(metas.size());
  for (size_t i = 0; i < metas.size(); ++i) {
    if (metas[i].defined && !goes_to_window(destinations, i)) {
      fresh[i] = make_tensor(device, metas[i].dtype, metas[i].sizes, metas[i].strides);
    }
  }
  return fresh;
}

class Recording {
 public:
  Recording(Call& call, c10::DeviceIndex device)
      : call_(call), device_(device), place_(this_place()), lock_(lock_recording()), trace_(&select_trace(lock_, call, device)) {}

  // Appends arguments; destinations are windows that the node writes, a window in `unread` is not read at all.
  void arguments(c10::ArrayRef<ir::WindowId> written, c10::ArrayRef<ir::WindowId> unread) {
    ir::Graph& g = trace_->graph;
    const auto first_window = static_cast<ir::WindowId>(g.windows.size());
    const auto first_item = static_cast<uint32_t>(g.list_items.size());
    const auto first_scalar = static_cast<ir::ScalarId>(g.scalars.size());
    first_window_ = first_window;
    trace_->node_words.push_back(static_cast<uint32_t>(trace_->words.size()));
    trace_->words.insert(trace_->words.end(), call_.words.begin(), call_.words.end());
    for (size_t i = 0; i < call_.windows.size(); ++i) {
      c10::StorageImpl* storage = call_.storages[i];
      Memory* memory = memory_of(storage);
      release_from_other_traces(memory);
      const bool writes = contains(written, i), reads = !contains(unread, i);
      ir::Window& w = call_.windows[i];
      const size_t known = g.buffers.size();
      w.buffer = trace_->buffer_of(memory, !reads);
      if (w.buffer == known) {  // its first use in this trace
        arm(storage);
        trace_->defined_first[w.buffer] = !reads && writes && ir::covers(w, static_cast<int64_t>(memory->nbytes));
      }
      if (writes) {
        g.buffers[w.buffer].written = true;
        if (!trace_->capturing()) {  // a capture writes when it is replayed
          memory->version.fetch_add(1, std::memory_order_relaxed);
        }
      }
      trace_->words.push_back(w.buffer);
      if (g.buffers[w.buffer].kind == ir::BufferKind::kLocal) {
        trace_->words.push_back(static_cast<uint64_t>(w.offset));
      }
      g.windows.push_back(w);
    }
    for (ir::WindowId item : call_.list_items) {
      g.list_items.push_back(item == ir::kNone ? item : item + first_window);
    }
    g.scalars.insert(g.scalars.end(), call_.scalars.begin(), call_.scalars.end());
    node_ = &g.nodes.emplace_back();
    node_->op = call_.op;
    trace_->places.push_back(place_);
    for (ir::Arg& arg : call_.args) {
      switch (arg.kind) {
        case ir::Arg::Kind::kWindow:
          arg.index += first_window;
          break;
        case ir::Arg::Kind::kWindowList:
          arg.index += first_item;
          break;
        case ir::Arg::Kind::kScalar:
        case ir::Arg::Kind::kScalarTensor:
          arg.index += first_scalar;
          break;
        case ir::Arg::Kind::kNone:
        case ir::Arg::Kind::kConst:
          break;
      }
      node_->args.push_back(std::move(arg));
    }
    mark_recomputed();
  }

  // A write into a window of the call.
  void write(ir::WindowId window) {
    const ir::WindowId id = first_window_ + window;
    node_->writes.push_back(id);
    trace_->words.push_back(1);
    push_geometry(trace_->words, trace_->graph.windows[id]);
  }

  // A write into a fresh tensor that covers its storage.
  void write_fresh(const at::Tensor& tensor, const ir::TensorMeta& meta) {
    Memory* memory = memory_of(tensor.storage().unsafeGetStorageImpl());
    ir::Graph& g = trace_->graph;
    ir::Window& w = g.windows.emplace_back();
    w.buffer = trace_->buffer_of(memory, /*first_use_writes=*/true);
    w.dtype = meta.dtype;
    w.sizes = meta.sizes;
    w.strides = meta.strides;
    g.buffers[w.buffer].written = true;
    trace_->defined_first[w.buffer] = true;
    node_->writes.push_back(static_cast<ir::WindowId>(g.windows.size() - 1));
    trace_->words.push_back(static_cast<uint64_t>(w.buffer) << 2 | 2);
  }

  void no_write() {
    node_->writes.push_back(ir::kNone);
    trace_->words.push_back(3);
  }

  void mutating() {
    node_->mutating = true;
    trace_->words.push_back(4);
  }

  // Everything behind the arguments: a write for each return (fresh[i] or a destination), random numbers, limits.
  void complete(const Metas& metas, c10::ArrayRef<Destination> destinations, const std::vector<at::Tensor>& fresh) {
    for (size_t i = 0; i < metas.size(); ++i) {
      if (goes_to_window(destinations, i)) {
        write(destinations[i].window);
      } else if (metas[i].defined) {
        write_fresh(fresh[i], metas[i]);
      } else {
        no_write();
      }
    }
    if (call_.op->random) {
      random(random_blocks(call_, metas));
    }
    finish();
  }

  // Seed and offset as two more scalars. A capture draws at each replay instead of now.
  void random(uint64_t blocks) {
    at::Generator generator = call_.generator.defined() ? call_.generator : device::default_generator(device_);
    auto* philox = device::philox(generator);
    ir::Graph& g = trace_->graph;
    node_->rng = static_cast<ir::ScalarId>(g.scalars.size());
    ir::Scalar seed, offset;
    seed.value.i = static_cast<int64_t>(philox->current_seed());
    offset.value.i = trace_->capturing() ? 0 : static_cast<int64_t>(philox->reserve(blocks));
    g.scalars.push_back(seed);
    g.scalars.push_back(offset);
    if (trace_->capturing()) {
      trace_->draws.push_back({node_->rng, generator, blocks});
    }
  }

  // Counts, and flushes when the trace has grown past its limits. In eager mode the op runs now.
  void finish() {
    count(Counter::kRecordedOps);
    if (trace_->capturing()) {
      return;
    }
    const c10::Stream stream = trace_->stream;
    if (C10_UNLIKELY(eager_mode())) {
      count(Counter::kEagerCalls);
      lock_.unlock();
      synchronize(stream, "eager");
    } else if (C10_UNLIKELY(trace_->repetition.watches(trace_->graph.nodes.size()) && loop_ends())) {
      cut("repetition");
    } else if (C10_UNLIKELY(trace_->graph.nodes.size() >= options().max_nodes)) {
      cut("node limit");
    } else if (C10_UNLIKELY(trace_->pending_bytes >= options().max_bytes)) {
      cut("byte limit");
    }
  }

 private:
  // What a backward pass records with gradients enabled is a checkpointed forward that is run again (or a backward that will be
  // differentiated itself).
  void mark_recomputed() {
    if (C10_UNLIKELY(c10::GradMode::is_enabled() && torch::autograd::get_current_graph_task_id() != -1)) {
      node_->recomputed = true;
      trace_->words.push_back(5);
    }
  }

  // See Note [Loops without mark_step].
  bool loop_ends() {
    const ir::Graph& g = trace_->graph;
    Repetition::Step step{hash_words(call_.words.data(), call_.words.size()), 0};
    for (size_t w = first_window_; w < g.windows.size(); ++w) {
      const ir::BufferId buffer = g.windows[w].buffer;
      if (g.buffers[buffer].kind == ir::BufferKind::kInput) {
        step.memories = hash_words(&trace_->memories[buffer]->id, 1, step.memories);
      }
    }
    return trace_->repetition.next(g, step);
  }

  // A flush of our own accord, in the middle of the user's program. Ends the recording.
  void cut(const char* cause) {
    const c10::Stream stream = trace_->stream;
    Repetition repetition = std::move(trace_->repetition);
    flush_locked(lock_, stream, cause, /*wake=*/true);
    open_trace(lock_, stream).repetition = std::move(repetition);
    lock_.unlock();
    throttle(stream);
  }

  static bool contains(c10::ArrayRef<ir::WindowId> ids, size_t id) {
    return std::find(ids.begin(), ids.end(), static_cast<ir::WindowId>(id)) != ids.end();
  }

  // A memory that another stream's trace uses: that trace goes first, tickets order the rest.
  void release_from_other_traces(Memory* memory) {
    if (memory->trace == nullptr || memory->trace == trace_) {
      return;
    }
    TORCH_CHECK(!memory->trace->capturing(), "[", call_.op->name,
                "] one of its tensors was made in a capture that is still running on another stream; it has no value before a replay");
    flush_locked(lock_, memory->trace->stream, "another stream", /*wake=*/true);
  }

  Call& call_;
  c10::DeviceIndex device_;
  uint64_t place_;
  Lock lock_;
  Trace* trace_;
  ir::Node* node_ = nullptr;
  ir::WindowId first_window_ = 0;
};

}  // namespace

at::Tensor make_tensor(c10::Storage storage, c10::ScalarType dtype, c10::IntArrayRef sizes, c10::IntArrayRef strides, int64_t offset) {
  at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                                               c10::scalarTypeToTypeMeta(dtype));
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides, offset);
  return tensor;
}

at::Tensor make_tensor(c10::DeviceIndex device, c10::ScalarType dtype, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  size_t extent = 1;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] == 0) {
      extent = 0;
      break;
    }
    extent += static_cast<size_t>((sizes[d] - 1) * strides[d]);
  }
  return make_tensor(make_storage(device, extent * c10::elementSize(dtype)), dtype, sizes, strides);
}

std::vector<at::Tensor> record(Call& call, const Metas& metas, c10::ArrayRef<Destination> destinations, c10::DeviceIndex device) {
  std::vector<at::Tensor> fresh = fresh_returns(metas, destinations, device);
  c10::SmallVector<ir::WindowId, 2> written, unread;
  for (size_t i = 0; i < metas.size(); ++i) {
    if (goes_to_window(destinations, i)) {
      written.push_back(destinations[i].window);
    }
  }
  // A window that is only a destination is not read; nor is the self argument of ops that take its shape alone.
  for (ir::WindowId w : written) {
    const bool argument = std::any_of(call.args.begin(), call.args.end(), [&](const ir::Arg& a) {
      return a.kind == ir::Arg::Kind::kWindow && a.index == w && !(call.op->ignores_self && &a == &call.args[0]);
    });
    if (!argument) {
      unread.push_back(w);
    }
  }
  if (call.op->ignores_self && call.args[0].kind == ir::Arg::Kind::kWindow && written.empty()) {
    unread.push_back(call.args[0].index);
  }
  Recording recording(call, device);
  recording.arguments(written, unread);
  recording.complete(metas, destinations, fresh);
  return fresh;
}

std::vector<at::Tensor> record_mutating(Call& call, c10::ArrayRef<ir::WindowId> mutated, const Metas& metas, c10::DeviceIndex device) {
  std::vector<at::Tensor> fresh = fresh_returns(metas, {}, device);
  Recording recording(call, device);
  recording.arguments(mutated, {});
  recording.mutating();
  for (ir::WindowId w : mutated) {
    recording.write(w);
  }
  recording.complete(metas, {}, fresh);
  return fresh;
}

bool records_into_capture(const Call& call, c10::DeviceIndex device) {
  if (capture_count().load(std::memory_order_relaxed) == 0) {
    return false;
  }
  const Lock lock = lock_recording();
  const Trace* trace = capture_of_operands(lock, call);
  if (trace == nullptr) {
    trace = find_open_trace(lock, device::current_stream(device));
  }
  return trace != nullptr && trace->capturing();
}

void record_copy(const at::Tensor& dst, const at::Tensor& src) {
  static const ir::OpInfo& copy = ir::op_info(c10::Dispatcher::singleton().findSchemaOrThrow("aten::copy", ""));
  Call call(copy);
  call.tensor(dst);
  call.tensor(src);
  call.constant(false);
  ir::TensorMeta meta;
  meta.dtype = dst.scalar_type();
  meta.sizes = call.windows[0].sizes;
  meta.strides = call.windows[0].strides;
  record(call, {meta}, Destination{0}, dst.device().index());
}

}  // namespace torch_hpu::lazy
