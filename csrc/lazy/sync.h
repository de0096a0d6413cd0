// Flushing and waiting: from an open trace to valid bytes. Every function here may be called with the GIL held; waiting happens
// without it.
#pragma once

#include <c10/core/Stream.h>

#include "csrc/lazy/state.h"

namespace torch_hpu::lazy {

// Hands the stream's open trace to its queue; returns at once unless the queue is long. `cause` is counted and shows in logs.
void flush(c10::Stream stream, const char* cause);
void flush_device(c10::DeviceIndex device, const char* cause);
// The same while the lock is held. wake: start the stream's worker; otherwise the caller is about to wait and runs it itself.
void flush_locked(const Lock& lock, c10::Stream stream, const char* cause, bool wake);

// Waits while too many recipes of the stream are queued: a loop that never reads anything must not run ahead of the device without end.
// flush() does it by itself; no lock may be held.
void throttle(c10::Stream stream);

// Flushes what the memory depends on, waits for it, and gives an address to a memory that never had bytes. Throws the failure of
// the recipe that should have produced the bytes, or an earlier unreported failure of the stream.
void make_ready(Memory* memory, const char* cause);

// Flushes the stream and waits for it; throws an unreported failure.
void synchronize(c10::Stream stream, const char* cause);
void synchronize_device(c10::DeviceIndex device, const char* cause);

// Throws when the current stream is capturing and `what` needs the host, unless the capture is relaxed.
void forbid_host_in_capture(const std::string& what);

// Python support, installed by the extension module: how to give up the GIL around a wait.
struct GilHooks {
  void* (*release)() = nullptr;  // null when the calling thread does not hold it
  void (*acquire)(void*) = nullptr;
};
void install_gil_hooks(GilHooks hooks);
class WithoutGil {
 public:
  WithoutGil();
  ~WithoutGil();

 private:
  void* state_;
};

}  // namespace torch_hpu::lazy
