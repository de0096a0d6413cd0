// Streams: queues of work, each in order, independent of each other. A stream is a c10::Stream on the hpu device, so query(), synchronize() and
// c10::StreamGuard work on it. Reading on one stream what another has recorded orders the two by itself.
#pragma once

#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>

#include "torch_hpu/export.h"

namespace torch_hpu {

// device -1: the current one. Throw for a device that does not exist.
TORCH_HPU_API c10::Stream current_stream(int device = -1);  // of the calling thread
TORCH_HPU_API c10::Stream default_stream(int device = -1);
TORCH_HPU_API c10::Stream new_stream(int device = -1);

// Makes a stream current for the calling thread. In a scope: c10::StreamGuard guard(stream).
TORCH_HPU_API void set_current_stream(c10::Stream stream);

}  // namespace torch_hpu
