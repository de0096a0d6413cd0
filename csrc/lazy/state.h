// The recorder's process-wide state: the recording lock and the open trace of each stream.
//
// Note [The recording lock]
// One lock for the process; recording is sub-microsecond, and a lock per trace would deadlock when streams read each other.
// While it is held: no Python, no user callback, no wait for a worker, no tensor is destroyed. So a thread that holds the GIL may
// take it. Waiting for a worker, however, is always done without the lock and without the GIL (see sync.h).
#pragma once

#include <c10/core/Stream.h>

#include <mutex>

#include "csrc/lazy/trace.h"

namespace torch_hpu::lazy {

using Lock = std::unique_lock<std::mutex>;
Lock lock_recording();  // throws in a forked child: a thread of the parent may have held it

// The stream's open trace, or the capture that the stream has joined; made on first use. The reference is valid until the trace is flushed.
Trace& open_trace(const Lock&, c10::Stream stream);
Trace* find_open_trace(const Lock&, c10::Stream stream);
Trace* find_capture(const Lock&, uint64_t id);
// Takes the stream's open trace away (its memories still name it).
std::unique_ptr<Trace> detach_trace(const Lock&, c10::Stream stream);
std::vector<c10::Stream> streams_with_traces(const Lock&, c10::DeviceIndex device);

// The calling thread's recording mode: 1 eager (each op runs at once on generic kernels), 0 lazy, -1 as TORCH_HPU_LAZY says. Returns the
// mode before; scopes restore it.
int exchange_eager_scope(int mode);
bool eager_mode();  // of the calling thread

}  // namespace torch_hpu::lazy
