// c10's view of devices and streams.
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <map>

#include "csrc/device/device.h"
#include "csrc/device/event.h"
#include "csrc/device/stream_queue.h"
#include "csrc/support/env.h"

namespace torch_hpu::device {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;

thread_local c10::DeviceIndex this_device = 0;
thread_local std::map<c10::DeviceIndex, c10::StreamId> this_streams;  // missing: the default stream

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override {
    return kType;
  }
  c10::Device exchangeDevice(c10::Device d) const override {
    const c10::Device old = getDevice();
    setDevice(d);
    return old;
  }
  c10::Device getDevice() const override {
    return {kType, this_device};
  }
  void setDevice(c10::Device d) const override {
    set_device(d.index());
  }
  void uncheckedSetDevice(c10::Device d) const noexcept override {
    this_device = d.index();
  }
  c10::Stream getStream(c10::Device d) const override {
    return current_stream(d.index() < 0 ? this_device : d.index());
  }
  c10::Stream getDefaultStream(c10::Device d) const override {
    return default_stream(d.index() < 0 ? this_device : d.index());
  }
  c10::Stream getStreamFromGlobalPool(c10::Device d, bool) const override {
    return new_stream(d.index() < 0 ? this_device : d.index());
  }
  c10::Stream getNewStream(c10::Device d, int) const override {
    return new_stream(d.index() < 0 ? this_device : d.index());
  }
  c10::Stream exchangeStream(c10::Stream s) const override {
    return exchange_stream(s);
  }
  c10::DeviceIndex deviceCount() const noexcept override {
    return device_count();
  }

  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex, const c10::EventFlag flag) const override {
    if (*event == nullptr) {
      *event = new EventState(flag == c10::EventFlag::BACKEND_DEFAULT);
    }
    static_cast<EventState*>(*event)->record(stream);
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event != nullptr) {
      static_cast<EventState*>(event)->block(stream);
    }
  }
  bool queryEvent(void* event) const override {
    return event == nullptr || static_cast<EventState*>(event)->query();
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<EventState*>(event);
  }
  void synchronizeEvent(void* event) const override {
    if (event != nullptr) {
      static_cast<EventState*>(event)->synchronize();
    }
  }
  double elapsedTime(void* begin, void* end, const c10::DeviceIndex) const override {
    TORCH_CHECK(begin != nullptr && end != nullptr, "[Event] elapsed_time needs two recorded events");
    return static_cast<EventState*>(begin)->elapsed_ms(*static_cast<EventState*>(end));
  }

  bool queryStream(const c10::Stream& stream) const override {
    lazy_hooks().flush_stream(stream, "stream query");
    return queue_of(stream).idle();
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    lazy_hooks().synchronize_stream(stream);
  }
  void synchronizeDevice(const c10::DeviceIndex device) const override {
    lazy_hooks().synchronize_device(device < 0 ? this_device : device);
  }
  bool isStreamCapturing(const c10::Stream& stream) const override {
    return lazy_hooks().capture_of(stream) != 0;
  }
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {
    // Memory is kept until every task that uses it has finished.
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

}  // namespace

c10::DeviceIndex device_count() {
  return static_cast<c10::DeviceIndex>(options().devices);
}

c10::DeviceIndex current_device() {
  return this_device;
}

void set_device(c10::DeviceIndex device) {
  TORCH_CHECK(device >= 0 && device < device_count(), "[hpu] invalid device index ", static_cast<int>(device), ": there are ",
              static_cast<int>(device_count()), " devices");
  this_device = device;
}

c10::Stream default_stream(c10::DeviceIndex device) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(kType, device), 0);
}

c10::Stream current_stream(c10::DeviceIndex device) {
  if (C10_LIKELY(this_streams.empty())) {
    return default_stream(device);
  }
  const auto it = this_streams.find(device);
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(kType, device), it == this_streams.end() ? 0 : it->second);
}

c10::Stream exchange_stream(c10::Stream stream) {
  const c10::Stream old = current_stream(stream.device_index());
  if (stream.id() == 0) {
    this_streams.erase(stream.device_index());
  } else {
    this_streams[stream.device_index()] = stream.id();
  }
  return old;
}

c10::Stream new_stream(c10::DeviceIndex device) {
  static std::atomic<c10::StreamId> next{1};
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(kType, device), next.fetch_add(1));
}

}  // namespace torch_hpu::device
