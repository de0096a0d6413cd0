// The hpu device in C++: `module->to(torch_hpu::kDevice)`.
#pragma once

#include <c10/core/Device.h>

#include "torch_hpu/export.h"

namespace torch_hpu {

// The in-tree names torch::kHPU and at::kHPU belong to another backend; tensors of this one live on kDevice.
inline constexpr c10::DeviceType kDeviceType = c10::DeviceType::PrivateUse1;
inline const c10::Device kDevice{kDeviceType, 0};

TORCH_HPU_API bool is_available();
TORCH_HPU_API bool is_in_bad_fork();  // a child that was forked after the device was used: it must not use it
TORCH_HPU_API int device_count();
TORCH_HPU_API int current_device();
TORCH_HPU_API void set_device(int index);  // throws for an index that does not exist

}  // namespace torch_hpu
