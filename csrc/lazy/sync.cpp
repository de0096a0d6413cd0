#include "csrc/lazy/sync.h"

#include "csrc/device/device.h"
#include "csrc/device/stream_queue.h"
#include "csrc/lazy/capture.h"
#include "csrc/lazy/failure.h"
#include "csrc/lazy/launch.h"
#include "csrc/lazy/place.h"
#include "csrc/support/counters.h"
#include "csrc/support/log.h"

namespace torch_hpu::lazy {
namespace {

GilHooks gil_hooks;

void wait_for(device::StreamQueue& queue, uint64_t ticket) {
  if (queue.finished_ticket() >= ticket) {
    return;
  }
  const WithoutGil without_gil;
  queue.wait(ticket);
}

void throw_stream_error(c10::Stream stream) {
  if (std::exception_ptr error = take_stream_error(stream)) {
    std::rethrow_exception(error);
  }
}

// The recording lock is not held: finding the user's line may take the GIL.
[[noreturn]] void throw_host_in_capture(const std::string& what) {
  const std::string line = place_text(this_place());
  TORCH_CHECK(false, "[", what, "] needs the host, which is not allowed while an HPU Graph is being captured: the values do not exist",
              " before a replay. Move it out of the captured region.", line.empty() ? "" : " Called at ", line);
}

}  // namespace

void install_gil_hooks(GilHooks hooks) {
  gil_hooks = hooks;
}

WithoutGil::WithoutGil() : state_(gil_hooks.release ? gil_hooks.release() : nullptr) {}

WithoutGil::~WithoutGil() {
  if (state_ != nullptr) {
    gil_hooks.acquire(state_);
  }
}

void flush_locked(const Lock& lock, c10::Stream stream, const char* cause, bool wake) {
  Trace* trace = find_open_trace(lock, stream);
  if (trace == nullptr || trace->capturing()) {
    return;  // in a capture a flush is only a hint: one plan per graph
  }
  std::unique_ptr<Trace> closed = detach_trace(lock, stream);
  if (closed->empty()) {
    for (const MemoryPtr& memory : closed->memories) {
      memory->trace = nullptr;
    }
    return;
  }
  count(Counter::kFlushes);
  count_detail(Counter::kFlushes, cause);
  TORCH_HPU_LOG(2, "flush of " << closed->graph.nodes.size() << " nodes: " << cause);
  launch(lock, std::move(closed), tier_policy(), wake);
}

void throttle(c10::Stream stream) {
  constexpr uint64_t kQueued = 16;
  device::StreamQueue& queue = device::queue_of(stream);
  if (const uint64_t last = queue.last_ticket(); last > kQueued) {
    wait_for(queue, last - kQueued);
  }
}

void flush(c10::Stream stream, const char* cause) {
  flush_locked(lock_recording(), stream, cause, /*wake=*/true);
  throttle(stream);
}

void flush_device(c10::DeviceIndex device, const char* cause) {
  const Lock lock = lock_recording();
  for (c10::Stream stream : streams_with_traces(lock, device)) {
    flush_locked(lock, stream, cause, /*wake=*/true);
  }
}

void make_ready(Memory* memory, const char* cause) {
  device::StreamQueue* queue = nullptr;
  uint64_t ticket = 0;
  {
    Lock lock = lock_recording();
    if (memory->trace != nullptr) {
      if (memory->trace->capturing()) {
        lock.unlock();
        throw_host_in_capture(cause);
      }
      flush_locked(lock, memory->trace->stream, cause, /*wake=*/false);
    }
    if (!memory->produced) {
      memory->bind();
      memory->produced = true;
    }
    queue = memory->queue;
    ticket = memory->last_use;
  }
  if (queue != nullptr) {
    wait_for(*queue, ticket);
    throw_stream_error(queue->stream());
  }
  throw_if_failed(*memory);
}

void synchronize(c10::Stream stream, const char* cause) {
  uint64_t ticket = 0;
  device::StreamQueue& queue = device::queue_of(stream);
  {
    const Lock lock = lock_recording();
    if (Trace* trace = find_open_trace(lock, stream)) {
      TORCH_CHECK(!trace->capturing(), "[hpu] ", cause, " is not allowed while the stream is being captured into an HPU Graph");
    }
    flush_locked(lock, stream, cause, /*wake=*/false);
    ticket = queue.last_ticket();
  }
  wait_for(queue, ticket);
  throw_stream_error(stream);
}

void synchronize_device(c10::DeviceIndex device, const char* cause) {
  TORCH_CHECK(!capturing(device::current_stream(device)), "[hpu] ", cause,
              " is not allowed while the stream is being captured into an HPU Graph");
  flush_device(device, cause);
  if (!device::idle(device)) {
    const WithoutGil without_gil;
    device::wait_all(device);
  }
  if (has_stream_errors()) {
    for (c10::Stream stream : device::streams_of(device)) {
      throw_stream_error(stream);
    }
  }
}

void forbid_host_in_capture(const std::string& what) {
  if (capture_count().load(std::memory_order_relaxed) == 0) {
    return;
  }
  bool forbidden = false;
  {
    const Lock lock = lock_recording();
    const Trace* trace = find_open_trace(lock, device::current_stream(device::current_device()));
    forbidden = trace != nullptr && trace->capturing() && !trace->capture->allows_host;
  }
  if (forbidden) {
    throw_host_in_capture(what);
  }
}

}  // namespace torch_hpu::lazy
