#include "csrc/lazy/capture.h"

#include "csrc/lazy/sync.h"

namespace torch_hpu::lazy {
namespace {

std::unique_ptr<Trace> detach_capture(const Lock& lock, c10::Stream stream) {
  Trace* trace = find_open_trace(lock, stream);
  if (trace == nullptr || !trace->capturing) {
    return nullptr;
  }
  std::unique_ptr<Trace> closed = detach_trace(lock, stream);
  for (const MemoryPtr& memory : closed->memories) {
    if (memory->trace == closed.get()) {
      memory->trace = nullptr;
      memory->buffer = ir::kNone;
      memory->produced = true;
    }
  }
  capture_count().fetch_sub(1);
  return closed;
}

}  // namespace

std::atomic<int>& capture_count() {
  static std::atomic<int> n{0};
  return n;
}

bool capturing(c10::Stream stream) {
  const Lock lock = lock_recording();
  const Trace* trace = find_open_trace(lock, stream);
  return trace != nullptr && trace->capturing;
}

void begin_capture(c10::Stream stream) {
  const Lock lock = lock_recording();
  Trace* trace = find_open_trace(lock, stream);
  TORCH_CHECK(trace == nullptr || !trace->capturing,
              "[HPUGraph] capture_begin: the stream is being captured already; captures on one stream cannot be nested");
  flush_locked(lock, stream, "capture", /*wake=*/true);
  open_trace(lock, stream).capturing = true;
  capture_count().fetch_add(1);
}

std::unique_ptr<Trace> end_capture(c10::Stream stream) {
  std::unique_ptr<Trace> trace = detach_capture(lock_recording(), stream);
  TORCH_CHECK(trace != nullptr, "[HPUGraph] capture_end: the stream is not being captured");
  trace->finish_key();
  trace->set_observability();
  return trace;
}

void abort_capture(c10::Stream stream) noexcept {
  std::unique_ptr<Trace> trace = detach_capture(lock_recording(), stream);
  if (trace == nullptr) {
    return;
  }
  const auto failure = std::make_shared<Failure>(
      Failure{std::make_exception_ptr(c10::Error({__func__, __FILE__, static_cast<uint32_t>(__LINE__)},
                                                 "[HPUGraph] this tensor was made in a capture that was aborted; it has no value"))});
  for (size_t b = 0; b < trace->memories.size(); ++b) {
    if (trace->graph.buffers[b].kind == ir::BufferKind::kLocal) {
      trace->memories[b]->failure = failure;
    }
  }
}

}  // namespace torch_hpu::lazy
