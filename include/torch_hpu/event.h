// Events: points in a stream's order.
#pragma once

#include <c10/core/Event.h>

#include "torch_hpu/device.h"
#include "torch_hpu/stream.h"

namespace torch_hpu {

class Event {
 public:
  explicit Event(bool timing = false) : event_(kDeviceType, timing ? c10::EventFlag::BACKEND_DEFAULT : c10::EventFlag::PYTORCH_DEFAULT) {}

  // After everything that was recorded on the stream so far; recording again moves the event.
  void record() {
    record(current_stream());
  }
  void record(const c10::Stream& stream) {
    event_.record(stream);
  }

  // What is recorded on `stream` from now on runs after the event.
  void block(const c10::Stream& stream) const {
    event_.block(stream);
  }

  // Whether the event has passed; true when it was never recorded.
  bool query() const {
    return event_.query();
  }

  // Waits for the event; throws a failure of its stream that nobody has seen yet.
  void synchronize() const {
    event_.synchronize();
  }

  // Milliseconds from this event to `end`. Both were made with timing and have passed.
  double elapsed_ms(const Event& end) const {
    return event_.elapsedTime(end.event_);
  }

 private:
  c10::Event event_;
};

}  // namespace torch_hpu
