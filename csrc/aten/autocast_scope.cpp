#include <torch_hpu/autocast.h>

#include <ATen/autocast_mode.h>

namespace torch_hpu {

Autocast::Autocast(c10::DeviceType device, bool enabled, c10::ScalarType dtype) : device_(device), enabled_(enabled) {
  if (enabled_) {
    was_enabled_ = at::autocast::is_autocast_enabled(device_);
    was_dtype_ = at::autocast::get_autocast_dtype(device_);
    at::autocast::set_autocast_enabled(device_, true);
    at::autocast::set_autocast_dtype(device_, dtype);
    at::autocast::increment_nesting();
  }
}

Autocast::~Autocast() {
  if (enabled_) {
    if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
    at::autocast::set_autocast_enabled(device_, was_enabled_);
    at::autocast::set_autocast_dtype(device_, was_dtype_);
  }
}

}  // namespace torch_hpu
