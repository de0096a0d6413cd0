// The name of the device and the hooks by which torch asks for its pieces.
#include <ATen/Context.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <c10/core/DeviceType.h>

#include <sys/mman.h>

#include <map>
#include <mutex>

#include "csrc/device/device.h"
#include "csrc/device/generator.h"
#include "csrc/device/memory.h"
#include "csrc/device/stream_queue.h"

namespace torch_hpu::device {
namespace {

// Host memory is device memory: pinning means nothing to the hardware here, but programs ask whether a tensor is pinned, and a copy from
// pinned memory may be asynchronous. Pinned blocks are ordinary host blocks in a registry.
class PinnedAllocator final : public at::HostAllocator {
 public:
  c10::DataPtr allocate(size_t nbytes) override {
    void* data = c10::alloc_cpu(nbytes);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      blocks_[static_cast<std::byte*>(data)] = nbytes;
    }
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return &release;
  }
  void copy_data(void* dest, const void* src, std::size_t count) const override {
    default_copy_data(dest, src, count);
  }
  bool record_event(void*, void*, c10::Stream) override {
    return true;  // a block is read before the copy returns, or its bytes are kept
  }
  void empty_cache() override {}  // nothing is cached
  at::HostStats get_stats() override {
    return {};
  }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}

  bool owns(const void* p) const {
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = blocks_.upper_bound(const_cast<std::byte*>(static_cast<const std::byte*>(p)));
    if (it == blocks_.begin()) {
      return false;
    }
    --it;
    return static_cast<const std::byte*>(p) < it->first + it->second;
  }
  static PinnedAllocator& instance() {
    static auto* allocator = new PinnedAllocator;
    return *allocator;
  }

 private:
  static void release(void* data) {
    if (data == nullptr) {
      return;
    }
    {
      std::lock_guard<std::mutex> lock(instance().mutex_);
      instance().blocks_.erase(static_cast<std::byte*>(data));
    }
    c10::free_cpu(data);
  }
  mutable std::mutex mutex_;
  std::map<std::byte*, size_t> blocks_;
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override {
    return true;
  }
  bool isAvailable() const override {
    return device_count() > 0;
  }
  bool hasPrimaryContext(c10::DeviceIndex) const override {
    return true;
  }
  c10::DeviceIndex deviceCount() const override {
    return device_count();
  }
  void setCurrentDevice(c10::DeviceIndex device) const override {
    set_device(device);
  }
  c10::DeviceIndex getCurrentDevice() const override {
    return current_device();
  }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    const c10::DeviceIndex old = current_device();
    set_device(device);
    return old;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    return device < 0 ? current_device() : exchangeDevice(device);
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex device) const override {
    return default_generator(device);
  }
  at::Generator getNewGenerator(c10::DeviceIndex device) const override {
    return at::make_generator<PhiloxGenerator>(device < 0 ? current_device() : device);
  }
  at::Device getDeviceFromPtr(void*) const override {
    return {c10::DeviceType::PrivateUse1, current_device()};
  }
  bool isPinnedPtr(const void* data) const override {
    return PinnedAllocator::instance().owns(data);
  }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    return &PinnedAllocator::instance();
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t nbytes) const override {
    lazy_hooks().resize_storage(storage.unsafeGetStorageImpl(), nbytes);
  }
};

// Runs when the library is loaded.
const bool registered = [] {
  c10::register_privateuse1_backend("hpu");
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
  c10::SetAllocator(c10::DeviceType::PrivateUse1, device_allocator(), 1);
  at::setHostAllocator(c10::DeviceType::PrivateUse1, &PinnedAllocator::instance());
  // A backward in a capture accumulates into parameters on the capture's stream, wherever they were first used.
  at::globalContext().setOverrideStaleCaptureStream(true);
  return true;
}();

}  // namespace
}  // namespace torch_hpu::device
