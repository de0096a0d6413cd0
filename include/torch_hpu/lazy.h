// Lazy execution: when recorded work is handed to the device.
#pragma once

#include <map>
#include <string>

#include "torch_hpu/export.h"

namespace torch_hpu {

// Hands everything recorded on the current stream to the compiler and the device, and returns at once. Reading a value on the host does
// the same by itself; in a training loop, call it once per step.
TORCH_HPU_API void mark_step();

// Waits until the current device has finished everything; throws what failed meanwhile.
TORCH_HPU_API void synchronize();

// While it lives, ops of this thread run one at a time, at once, on generic kernels (eager), or are recorded (lazy).
class TORCH_HPU_API EagerMode {
 public:
  explicit EagerMode(bool eager = true);
  ~EagerMode();
  EagerMode(const EagerMode&) = delete;
  EagerMode& operator=(const EagerMode&) = delete;

 private:
  int previous_;
};

// The same without a scope: 1 eager, 0 lazy, -1 as TORCH_HPU_LAZY says, for this thread; returns the mode before.
TORCH_HPU_API int exchange_eager_mode(int mode);

// Options, by name without the prefix TORCH_HPU_ in lower case: set_option("tier", "compiled"). Throws on unknown names and bad values.
TORCH_HPU_API void set_option(const std::string& name, const std::string& value);
TORCH_HPU_API std::string get_option(const std::string& name);
TORCH_HPU_API std::string options_help();  // the table of all options

}  // namespace torch_hpu
