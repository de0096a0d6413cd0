#include <ATen/EmptyTensor.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <c10/util/strides.h>

#include "csrc/aten/kernels.h"
#include "csrc/lazy/record.h"

namespace torch_hpu::aten {
namespace {

c10::DeviceIndex index_of(const std::optional<c10::Device>& device) {
  const auto* guard = c10::impl::getDeviceGuardImpl(c10::DeviceType::PrivateUse1);
  const c10::DeviceIndex index = device && device->has_index() ? device->index() : guard->getDevice().index();
  TORCH_CHECK(index >= 0 && index < guard->deviceCount(), "[empty] got device hpu:", static_cast<int>(index),
              ", expected an index below the number of devices, ", static_cast<int>(guard->deviceCount()));
  return index;
}

void check_options(std::optional<c10::Layout> layout, std::optional<bool> pin_memory) {
  TORCH_CHECK(layout.value_or(c10::kStrided) == c10::kStrided, "[empty] got layout ", *layout, ", expected strided: hpu tensors are dense");
  TORCH_CHECK(!pin_memory.value_or(false), "[empty] only CPU tensors can be pinned");
}

void check_sizes(c10::IntArrayRef size) {
  for (int64_t s : size) {
    TORCH_CHECK(s >= 0, "[empty] negative size: got ", size, ", expected sizes of 0 or more");
  }
}

}  // namespace

at::Tensor empty_memory_format(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                               std::optional<c10::Device> device, std::optional<bool> pin_memory,
                               std::optional<c10::MemoryFormat> memory_format) {
  check_options(layout, pin_memory);
  check_sizes(size);
  const c10::ScalarType type = c10::dtype_or_default(dtype);
  at::detail::computeStorageNbytesContiguous(size, c10::elementSize(type));  // throws when it overflows
  const auto format = memory_format.value_or(c10::MemoryFormat::Contiguous);
  c10::DimVector strides;
  if (format == c10::MemoryFormat::ChannelsLast) {
    TORCH_CHECK(size.size() == 4, "[empty] channels_last needs 4 dims, got ", size);
    const auto s = c10::get_channels_last_strides_2d(size);
    strides.assign(s.begin(), s.end());
  } else if (format == c10::MemoryFormat::ChannelsLast3d) {
    TORCH_CHECK(size.size() == 5, "[empty] channels_last_3d needs 5 dims, got ", size);
    const auto s = c10::get_channels_last_strides_3d(size);
    strides.assign(s.begin(), s.end());
  } else {
    strides = c10::contiguous_strides(size);
  }
  return lazy::make_tensor(index_of(device), type, size, strides);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout> layout, std::optional<c10::Device> device, std::optional<bool> pin_memory) {
  check_options(layout, pin_memory);
  check_sizes(size);
  TORCH_CHECK(size.size() == stride.size(), "[empty_strided] got ", size.size(), " sizes and ", stride.size(),
              " strides, expected as many of both");
  const c10::ScalarType type = c10::dtype_or_default(dtype);
  at::detail::computeStorageNbytes(size, stride, c10::elementSize(type));
  return lazy::make_tensor(index_of(device), type, size, stride);
}

}  // namespace torch_hpu::aten
