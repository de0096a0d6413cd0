#include "csrc/lazy/capture.h"

#include <algorithm>

#include "csrc/device/fork.h"
#include "csrc/lazy/failure.h"
#include "csrc/lazy/sync.h"

namespace torch_hpu::lazy {

std::atomic<int>& capture_count() {
  static std::atomic<int> n{0};
  return n;
}

CaptureSession::CaptureSession(c10::Stream stream, HostAccess host) : stream_(stream) {
  static std::atomic<uint64_t> next{1};
  const Lock lock = lock_recording();
  const Trace* trace = find_open_trace(lock, stream);
  TORCH_CHECK(trace == nullptr || !trace->capturing(),
              "[HPUGraph] capture_begin: the stream is being captured already; captures on one stream cannot be nested");
  flush_locked(lock, stream, "capture", /*wake=*/true);
  open_trace(lock, stream).capture =
      std::make_unique<Capture>(Capture{next.fetch_add(1), host == HostAccess::kRelaxed, next_memory_id(), {}, {}});
  capture_count().fetch_add(1);
}

CaptureSession::~CaptureSession() {
  if (open_ && !device::forked()) {
    const std::unique_ptr<Trace> trace = detach();
    drop_capture(*trace);
  }
}

std::unique_ptr<Trace> CaptureSession::end() {
  std::unique_ptr<Trace> trace = detach();
  trace->finish_key();
  trace->set_observability();
  return trace;
}

std::unique_ptr<Trace> CaptureSession::detach() noexcept {
  const Lock lock = lock_recording();
  std::unique_ptr<Trace> closed = detach_trace(lock, stream_);
  closed->capture->joined.clear();
  for (const MemoryPtr& memory : closed->memories) {
    if (memory->trace == closed.get()) {
      memory->trace = nullptr;
      memory->buffer = ir::kNone;
      memory->produced = true;
    }
  }
  open_ = false;
  capture_count().fetch_sub(1);
  return closed;
}

void drop_capture(Trace& trace) noexcept {
  const auto error = std::make_exception_ptr(c10::Error({__func__, __FILE__, static_cast<uint32_t>(__LINE__)},
                                                        "[HPUGraph] this tensor was made in a capture that was aborted; it has no value"));
  const Lock lock = lock_recording();
  for (size_t b = 0; b < trace.memories.size(); ++b) {
    if (trace.graph.buffers[b].kind != ir::BufferKind::kLocal) {
      continue;
    }
    if (trace.memories[b]->id < trace.capture->first_memory) {
      trace.memories[b]->produced = trace.memories[b]->bound;  // undefined bytes, as before
    } else {
      fail(*trace.memories[b], error);
    }
  }
}

uint64_t capture_of(c10::Stream stream) {
  if (capture_count().load(std::memory_order_relaxed) == 0) {
    return 0;
  }
  const Lock lock = lock_recording();
  const Trace* trace = find_open_trace(lock, stream);
  return trace != nullptr && trace->capturing() ? trace->capture->id : 0;
}

void join_capture(uint64_t capture, c10::Stream source, c10::Stream waiting) {
  const Lock lock = lock_recording();
  Trace* trace = find_capture(lock, capture);
  TORCH_CHECK(trace != nullptr, "[Event] wait: the event was recorded in a capture, and that has ended");
  std::vector<c10::Stream>& joined = trace->capture->joined;
  if (waiting == trace->stream) {
    joined.erase(std::remove(joined.begin(), joined.end(), source), joined.end());
    return;
  }
  const Trace* own = find_open_trace(lock, waiting);
  if (own == trace) {
    return;
  }
  TORCH_CHECK(own == nullptr || !own->capturing(), "[Event] wait: the stream is being captured into another HPU Graph");
  flush_locked(lock, waiting, "capture", /*wake=*/true);
  joined.push_back(waiting);
}

}  // namespace torch_hpu::lazy
