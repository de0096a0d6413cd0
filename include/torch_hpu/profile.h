// Seeing what runs when.
#pragma once

#include <string>

#include "torch_hpu/export.h"

namespace torch_hpu {

// Records a span per recipe and per step from now on.
TORCH_HPU_API void start_trace();
// Stops, and writes the spans as a Chrome trace (chrome://tracing, Perfetto).
TORCH_HPU_API void stop_trace(const std::string& path);

// The spans recorded since start_trace() as a table, the costliest first: milliseconds, calls, name of kernel, library call or op.
TORCH_HPU_API std::string kernel_table();

}  // namespace torch_hpu
