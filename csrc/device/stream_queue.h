// A stream is a FIFO of tasks with one worker thread, started at its first asynchronous task.
#pragma once

#include <c10/core/StorageImpl.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace torch_hpu::device {

using Task = std::function<void()>;  // must not throw: whoever enqueues it keeps its error

// Tasks of one stream run one at a time in the order of their tickets.
class StreamQueue {
 public:
  virtual ~StreamQueue() = default;
  // Appends `task`; returns its ticket (1, 2, ...). wake: the worker starts on it after the tasks before; one that was at rest leaves it to who waits for
  // it within 300 us. Otherwise it stays until a later task wakes the worker or somebody waits (for callers that are about to wait: no hand-over between
  // threads). computes: false for a task that only waits and passes on; the worker starts on it at once.
  virtual uint64_t enqueue(Task task, bool wake = true, bool computes = true) = 0;
  // The same for a task that the caller itself runs at once: the ticket of what it does until end_here(), or 0 when tasks are queued or running.
  virtual uint64_t begin_here() = 0;
  virtual void end_here() = 0;
  // Blocks until the task with this ticket (and all before it) has finished. When no thread is running tasks of this queue the
  // caller runs them itself. The caller holds no lock that a task may need (the recording lock, the GIL).
  virtual void wait(uint64_t ticket) = 0;
  virtual c10::Stream stream() const = 0;
  virtual uint64_t last_ticket() const = 0;  // 0: nothing was ever enqueued
  virtual uint64_t finished_ticket() const = 0;
  bool idle() const {
    return finished_ticket() == last_ticket();
  }
};

// The queue of a stream of the hpu device. Lives as long as the process.
StreamQueue& queue_of(c10::Stream stream);

// Waits for every queue of the device.
void wait_all(c10::DeviceIndex device);

// Whether every task of the device has finished.
bool idle(c10::DeviceIndex device);

// Every stream of the device that has a queue.
std::vector<c10::Stream> streams_of(c10::DeviceIndex device);

// What device/ must ask of the layer above without knowing it. aten/ installs these when the library is loaded, before any
// tensor of the device can exist.
struct LazyHooks {
  void (*flush_stream)(c10::Stream stream, const char* cause) = nullptr;  // hand what is recorded on `stream` to its queue
  void (*synchronize_stream)(c10::Stream stream) = nullptr;               // flush, wait without the GIL, throw an unreported failure
  void (*synchronize_device)(c10::DeviceIndex device) = nullptr;
  void (*wait)(StreamQueue& queue, uint64_t ticket) = nullptr;  // without the GIL
  void (*throw_pending_error)(c10::Stream stream) = nullptr;    // after a wait: rethrow a failure kept for this stream
  void (*resize_storage)(c10::StorageImpl* storage, size_t nbytes) = nullptr;
  uint64_t (*capture_of)(c10::Stream stream) = nullptr;  // the capture that the stream records into; 0: none
  void (*join_capture)(uint64_t capture, c10::Stream source, c10::Stream waiting) = nullptr;
};
void install_lazy_hooks(const LazyHooks& hooks);
const LazyHooks& lazy_hooks();

}  // namespace torch_hpu::device
