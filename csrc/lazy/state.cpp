#include "csrc/lazy/state.h"

#include <algorithm>
#include <utility>

#include "csrc/device/fork.h"
#include "csrc/support/env.h"

namespace torch_hpu::lazy {
namespace {

struct State {
  std::mutex mutex;
  std::vector<std::unique_ptr<Trace>> traces;  // few streams: a linear search beats a map
};

State& state() {
  static auto* instance = new State;  // outlives static destructors of user code
  return *instance;
}

thread_local int eager_scope = -1;  // -1: no scope

bool contains(const std::vector<c10::Stream>& streams, c10::Stream stream) {
  return std::find(streams.begin(), streams.end(), stream) != streams.end();
}

}  // namespace

Lock lock_recording() {
  device::check_not_forked();
  return Lock(state().mutex);
}

Trace* find_open_trace(const Lock&, c10::Stream stream) {
  for (auto& trace : state().traces) {
    if (trace->stream == stream || (trace->capturing() && contains(trace->capture->joined, stream))) {
      return trace.get();
    }
  }
  return nullptr;
}

Trace* find_capture(const Lock&, uint64_t id) {
  for (auto& trace : state().traces) {
    if (trace->capturing() && trace->capture->id == id) {
      return trace.get();
    }
  }
  return nullptr;
}

Trace& open_trace(const Lock& lock, c10::Stream stream) {
  if (Trace* trace = find_open_trace(lock, stream)) {
    return *trace;
  }
  state().traces.push_back(std::make_unique<Trace>(stream));
  return *state().traces.back();
}

std::unique_ptr<Trace> detach_trace(const Lock&, c10::Stream stream) {
  auto& traces = state().traces;
  auto it = std::find_if(traces.begin(), traces.end(), [&](const auto& t) { return t->stream == stream; });
  if (it == traces.end()) {
    return nullptr;
  }
  std::unique_ptr<Trace> trace = std::move(*it);
  traces.erase(it);
  return trace;
}

std::vector<c10::Stream> streams_with_traces(const Lock&, c10::DeviceIndex device) {
  std::vector<c10::Stream> streams;
  for (const auto& trace : state().traces) {
    if (trace->stream.device_index() == device) {
      streams.push_back(trace->stream);
    }
  }
  return streams;
}

int exchange_eager_scope(int mode) {
  return std::exchange(eager_scope, mode);
}

bool eager_mode() {
  return eager_scope >= 0 ? eager_scope != 0 : !options().lazy;
}

}  // namespace torch_hpu::lazy
