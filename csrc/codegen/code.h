// Machine code of loop structures, kept for the process and, as object code, on disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "csrc/codegen/loop.h"

namespace torch_hpu::codegen {

class LoadedObject;

// What an item can find wrong with its input: sets faults[kind].
enum class Fault : uint8_t { kIndex, kZeroDivision };

// Runs the items [begin, end): see Phase.
using Entry = void (*)(int64_t begin, int64_t end, std::byte* const* pointers, const int64_t* offsets, const ir::ScalarValue* scalars,
                       uint8_t* faults, std::byte* partials);

// The code of one loop structure. Shared by all loops that differ in name only, and by flat loops of all lengths.
struct Code {
  struct Phase {
    Entry entry = nullptr;
    int64_t items = 0;   // of the loop; not used when flat
    int64_t cycles = 1;  // about what an item costs; flat: a block
  };
  std::shared_ptr<const LoadedObject> object;  // keeps the code alive
  std::vector<Phase> phases;                   // to be run one after another; empty: nothing to do
  int64_t partial_bytes = 0;                   // memory between the phases
  int64_t block = 0;                           // flat: elements that begin must be a multiple of; else 0
};

// What to run for a loop: its code and, if that is flat, the loop's length.
struct Located {
  std::shared_ptr<const Code> code;
  int64_t length = 0;
};

// By loop: found, or compiled. Thread-safe. The loops are localized.
std::vector<Located> find_code(const std::vector<Loop>& loops);

}  // namespace torch_hpu::codegen
