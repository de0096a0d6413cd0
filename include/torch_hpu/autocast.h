// bfloat16 autocast as a scope, as torch.autocast in Python.
#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include "torch_hpu/export.h"

namespace torch_hpu {

class TORCH_HPU_API Autocast {
 public:
  // enabled false: the scope does nothing.
  explicit Autocast(c10::DeviceType device, bool enabled = true, c10::ScalarType dtype = c10::ScalarType::BFloat16);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool enabled_, was_enabled_ = false;
  c10::ScalarType was_dtype_ = c10::ScalarType::Undefined;
};

}  // namespace torch_hpu
