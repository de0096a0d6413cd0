// Python's line that recorded something, for messages that come later (lazy/place.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace torch_hpu::python {

// Files below these folders are libraries: places are sought in their callers.
void set_library_folders(std::vector<std::string> folders);

// The innermost Python frame of the calling thread that is no library's (or the innermost one, if all are); 0 outside Python. Tens of
// nanoseconds, with or without the GIL; takes the GIL when it meets a code object for the first time.
uint64_t here();

// "train.py:17". Needs no GIL.
std::string text(uint64_t place);

}  // namespace torch_hpu::python
