// Note [Capture rules]
// Between begin_capture() and end_capture() what is recorded on the stream goes into one trace that is never flushed and never
// runs: its ops only take effect when the graph is replayed. Existing memories are inputs, looked up and left alone; what
// the capture creates is pending and can be read by nobody outside. A call that has a value of the capture among its operands belongs to the
// capture, whatever stream or thread it comes from. Aborting drops the trace: existing memories are as they were, what the
// capture created is failed.
#pragma once

#include <atomic>
#include <memory>

#include "csrc/lazy/state.h"

namespace torch_hpu::lazy {

// Captures that are running in this process.
std::atomic<int>& capture_count();

bool capturing(c10::Stream stream);

// Flushes the stream and starts a capture on it. Throws when it is capturing already.
void begin_capture(c10::Stream stream);

// Ends the capture: the closed trace, its key finished, its memories detached. Throws when the stream is not capturing.
std::unique_ptr<Trace> end_capture(c10::Stream stream);

// Ends the capture and drops it; no-op when the stream is not capturing.
void abort_capture(c10::Stream stream) noexcept;

}  // namespace torch_hpu::lazy
