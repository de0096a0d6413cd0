// Note [Capture rules]
// While a CaptureSession is open, what is recorded on its stream goes into one trace that is never flushed and never runs: its ops
// only take effect when the graph is replayed.
// - Memories that exist already are inputs, looked up and left alone: neither their bytes nor their versions move, so dropping the
//   capture leaves them as they were. What the capture creates is pending and can be read by nobody.
// - A call that has a value of the capture among its operands belongs to the capture, whatever stream or thread it comes from (autograd's
//   threads). A stream that waits for an event of the capture joins it, and leaves it when the capture's stream waits for it in turn:
//   AccumulateGrad runs on the stream of its first use. A trace is a series, so there is no unordered work to complain about at the end.
// - Captures on several streams, in any threads, know nothing of each other.
// - Whatever needs the host raises and names itself, and the user's line where Python knows it. A "relaxed" capture lets the host read and
//   write memories that are no values of the capture; what was read is frozen into the graph.
#pragma once

#include <atomic>
#include <memory>

#include "csrc/lazy/state.h"

namespace torch_hpu::lazy {

enum class HostAccess : uint8_t { kForbidden, kRelaxed };

// Captures that are running in this process: a cheap test before anything else is asked.
std::atomic<int>& capture_count();

// A capture from its begin to its end. Its owner may be destroyed at any time, on any thread.
class CaptureSession {
 public:
  // Flushes the stream and starts. Throws when the stream is capturing already.
  CaptureSession(c10::Stream stream, HostAccess host);
  ~CaptureSession();  // an open capture is dropped
  CaptureSession(const CaptureSession&) = delete;
  CaptureSession& operator=(const CaptureSession&) = delete;

  c10::Stream stream() const {
    return stream_;
  }
  // The closed trace: its key is finished, its memories belong to no trace any more.
  std::unique_ptr<Trace> end();

 private:
  std::unique_ptr<Trace> detach() noexcept;

  const c10::Stream stream_;
  bool open_ = true;
};

// The graph of a closed capture will never run: what it created has no value, what existed before is as it was.
void drop_capture(Trace& trace) noexcept;

// The capture that the stream records into: its id, 0 for none.
uint64_t capture_of(c10::Stream stream);
inline bool capturing(c10::Stream stream) {
  return capture_of(stream) != 0;
}

// `waiting` waits for an event that was recorded on `source` in this capture: it joins the capture, or, being the capture's own stream, lets
// `source` go. Throws when the capture has ended.
void join_capture(uint64_t capture, c10::Stream source, c10::Stream waiting);

}  // namespace torch_hpu::lazy
