#include <ATen/EmptyTensor.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/i0.h>
#include <ATen/ops/ones.h>
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

// i0(beta * sqrt(1 - x^2)) / i0(beta), x from -1 to 1. ATen's own asks for a kernel that fills memory; the other windows are composed of ops.
at::Tensor kaiser_window_beta(int64_t length, bool periodic, double beta, std::optional<c10::ScalarType> dtype,
                              std::optional<c10::Layout> layout, std::optional<c10::Device> device, std::optional<bool> pin_memory) {
  check_options(layout, pin_memory);
  const c10::ScalarType type = c10::dtype_or_default(dtype);
  TORCH_CHECK(c10::isFloatingType(type), "[kaiser_window] got dtype ", type, ", expected a floating point dtype");
  TORCH_CHECK(length >= 0, "[kaiser_window] got window_length ", length, ", expected 0 or more");
  const auto options = at::TensorOptions(c10::Device(c10::DeviceType::PrivateUse1, index_of(device))).dtype(type);
  if (length <= 1) {
    return at::ones({length}, options);
  }
  const int64_t points = periodic ? length + 1 : length;
  const at::Tensor x = at::arange(points, options) * (2.0 / static_cast<double>(points - 1)) - 1;
  const at::Tensor window = at::i0(beta * (1 - x * x).clamp_min(0).sqrt()) / at::i0(at::full({}, beta, options));
  return periodic ? window.narrow(0, 0, length) : window;
}

at::Tensor kaiser_window_periodic(int64_t length, bool periodic, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                                  std::optional<c10::Device> device, std::optional<bool> pin_memory) {
  return kaiser_window_beta(length, periodic, 12, dtype, layout, device, pin_memory);
}

at::Tensor kaiser_window(int64_t length, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                         std::optional<c10::Device> device, std::optional<bool> pin_memory) {
  return kaiser_window_periodic(length, true, dtype, layout, device, pin_memory);
}

}  // namespace torch_hpu::aten
