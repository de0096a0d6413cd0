#include "csrc/aten/hooks.h"

#include "csrc/aten/resize.h"
#include "csrc/device/stream_queue.h"
#include "csrc/lazy/capture.h"
#include "csrc/lazy/failure.h"
#include "csrc/lazy/sync.h"

namespace torch_hpu::aten {

void install_hooks() {
  device::LazyHooks hooks;
  hooks.flush_stream = &lazy::flush;
  hooks.synchronize_stream = [](c10::Stream stream) { lazy::synchronize(stream, "synchronize"); };
  hooks.synchronize_device = [](c10::DeviceIndex device) { lazy::synchronize_device(device, "synchronize"); };
  hooks.wait = [](device::StreamQueue& queue, uint64_t ticket) {
    const lazy::WithoutGil without_gil;
    queue.wait(ticket);
  };
  hooks.throw_pending_error = [](c10::Stream stream) {
    if (std::exception_ptr error = lazy::take_stream_error(stream)) {
      std::rethrow_exception(error);
    }
  };
  hooks.resize_storage = &resize_storage;
  hooks.capture_of = &lazy::capture_of;
  hooks.join_capture = &lazy::join_capture;
  device::install_lazy_hooks(hooks);
}

}  // namespace torch_hpu::aten
