// What compiled code depends on besides its source.
#pragma once

#include <string>

namespace torch_hpu {

// The linker's hash of the loaded binary that holds this code, in hex; empty when it was linked without one.
std::string build_id();

// Model and features of the CPU as the kernel tells them; empty when it does not.
std::string cpu_description();

}  // namespace torch_hpu
