// The devices of the process and the calling thread's current device and streams.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

namespace torch_hpu::device {

c10::DeviceIndex device_count();  // TORCH_HPU_DEVICES
c10::DeviceIndex current_device();
void set_device(c10::DeviceIndex device);  // throws for an index that does not exist

c10::Stream default_stream(c10::DeviceIndex device);  // id 0
c10::Stream current_stream(c10::DeviceIndex device);
c10::Stream exchange_stream(c10::Stream stream);  // returns the stream that was current
c10::Stream new_stream(c10::DeviceIndex device);

}  // namespace torch_hpu::device
