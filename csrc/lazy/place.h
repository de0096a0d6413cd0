// Where in the user's program something was recorded: a number that costs nanoseconds to take, and its text when somebody asks. Only a
// language binding knows such places (csrc/python/place.cpp: Python's file and line); a plain C++ program has none.
#pragma once

#include <cstdint>
#include <string>

namespace torch_hpu::lazy {

struct PlaceHooks {
  uint64_t (*here)() = nullptr;             // of the calling thread; 0: unknown
  std::string (*text)(uint64_t) = nullptr;  // "train.py:17"; from any thread, takes no lock of the language
};
void install_place_hooks(PlaceHooks hooks);

// The calling thread's place; no lock of ours may be held.
uint64_t this_place();

// "train.py:17", or nothing for place 0.
std::string place_text(uint64_t place);

// ", recorded at train.py:17", or nothing for place 0.
std::string recorded_at(uint64_t place);

}  // namespace torch_hpu::lazy
