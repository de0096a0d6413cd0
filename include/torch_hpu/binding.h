// For bindings to other languages: what the device must know of an interpreter.
#pragma once

#include <cstdint>
#include <string>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct Interpreter {
  // How a waiting thread gives up the interpreter's lock. release returns null when the thread does not hold it.
  void* (*release_lock)() = nullptr;
  void (*acquire_lock)(void*) = nullptr;
  // The place in the user's program that the calling thread is at (0: none), and a place as text, "train.py:17". text() is called on
  // any thread and must not take the interpreter's lock.
  uint64_t (*here)() = nullptr;
  std::string (*text)(uint64_t) = nullptr;
};

// Once, before any tensor of the device exists.
TORCH_HPU_API void install_interpreter(const Interpreter& interpreter);

}  // namespace torch_hpu
