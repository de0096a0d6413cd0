// Events: a point in a stream's order, with an optional time stamp.
#pragma once

#include <c10/core/Stream.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>

namespace torch_hpu::device {

class EventState {
 public:
  explicit EventState(bool timing) : timing_(timing) {}

  void record(c10::Stream stream);                 // flushes what is recorded on the stream
  bool query() const;                              // true when nothing was recorded
  void synchronize() const;                        // throws an unreported failure of the stream
  void block(c10::Stream stream) const;            // later tasks of `stream` wait for the event
  double elapsed_ms(const EventState& end) const;  // both recorded with timing and finished

 private:
  struct Mark {
    c10::Stream stream;
    uint64_t ticket = 0;
    uint64_t capture = 0;                                         // recorded in this capture: a point in its order, and no moment in time
    std::shared_ptr<std::chrono::steady_clock::time_point> time;  // written by the task
  };
  std::unique_ptr<Mark> mark() const;
  std::unique_ptr<Mark> reached_mark(const char* what) const;  // throws for one of a capture

  const bool timing_;
  mutable std::mutex mutex_;
  std::unique_ptr<Mark> mark_;
};

}  // namespace torch_hpu::device
