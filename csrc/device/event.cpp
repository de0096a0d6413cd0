#include "csrc/device/event.h"

#include <c10/util/Exception.h>

#include "csrc/device/stream_queue.h"

namespace torch_hpu::device {

void EventState::record(c10::Stream stream) {
  auto mark = std::make_unique<Mark>(Mark{stream, 0, lazy_hooks().capture_of(stream), nullptr});
  if (mark->capture == 0) {
    lazy_hooks().flush_stream(stream, "event");
    if (timing_) {
      mark->time = std::make_shared<std::chrono::steady_clock::time_point>();
    }
    mark->ticket = queue_of(stream).enqueue(
        [time = mark->time] {
          if (time != nullptr) {
            *time = std::chrono::steady_clock::now();
          }
        },
        /*wake=*/true);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  mark_ = std::move(mark);
}

std::unique_ptr<EventState::Mark> EventState::mark() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return mark_ == nullptr ? nullptr : std::make_unique<Mark>(*mark_);
}

std::unique_ptr<EventState::Mark> EventState::reached_mark(const char* what) const {
  auto m = mark();
  TORCH_CHECK(m == nullptr || m->capture == 0, "[Event] ", what, ": the event was recorded in a capture; it never happens by itself");
  return m;
}

bool EventState::query() const {
  const auto m = reached_mark("query");
  return m == nullptr || queue_of(m->stream).finished_ticket() >= m->ticket;
}

void EventState::synchronize() const {
  if (const auto m = reached_mark("synchronize")) {
    lazy_hooks().wait(queue_of(m->stream), m->ticket);
    lazy_hooks().throw_pending_error(m->stream);
  }
}

void EventState::block(c10::Stream stream) const {
  const auto m = mark();
  if (m == nullptr || m->stream == stream) {
    return;
  }
  if (m->capture != 0) {
    lazy_hooks().join_capture(m->capture, m->stream, stream);
    return;
  }
  // What is recorded on `stream` so far does not wait; what comes later does.
  lazy_hooks().flush_stream(stream, "event");
  StreamQueue& source = queue_of(m->stream);
  queue_of(stream).enqueue([&source, ticket = m->ticket] { source.wait(ticket); }, /*wake=*/true, /*computes=*/false);
}

double EventState::elapsed_ms(const EventState& end) const {
  const auto first = mark(), last = end.mark();
  TORCH_CHECK(first && last && first->time && last->time,
              "[Event] elapsed_time needs two recorded events that were made with enable_timing=True");
  TORCH_CHECK(query() && end.query(), "[Event] elapsed_time: both events must have completed; synchronize() first");
  return std::chrono::duration<double, std::milli>(*last->time - *first->time).count();
}

}  // namespace torch_hpu::device
