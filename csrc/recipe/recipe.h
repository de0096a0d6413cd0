// The contract between compiler and run time: a recipe is an immutable list of steps over numbered buffers.
// Any number of threads may run one recipe at the same time, each with its own Invocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "csrc/ir/graph.h"

namespace torch_hpu {

// Which bytes a buffer holds: lets a step keep a packed copy of a weight. memory 0: unknown, keep nothing.
struct BufferTag {
  uint64_t memory = 0;   // unique per device memory, never reused
  uint64_t version = 0;  // moves with every write
};

// What one run supplies.
struct Invocation {
  std::byte* const* buffers;       // by BufferId of the recipe (graph buffers first, then the compiler's temporaries)
  const int64_t* offsets;          // by WindowId of the graph: elements
  const ir::ScalarValue* scalars;  // by ScalarId of the graph
  const BufferTag* tags;           // by BufferId of the graph's buffers; may be null
};

enum class StepKind : uint8_t { kKernel, kLibrary, kExtern };

class Step {
 public:
  virtual ~Step() = default;
  // Throws c10::Error on failure (bad index, an ATen kernel's own error). Must not keep state between runs.
  virtual void run(const Invocation& invocation) const = 0;
  virtual StepKind kind() const = 0;
  virtual std::string name() const = 0;  // for profiles, dumps and errors: "fused_mul_add", "matmul", "aten::sort"
};

struct Recipe {
  // Where a buffer's bytes are during a run.
  struct Placement {
    bool in_arena = false;     // else: an address that the run binds (inputs, observable locals)
    int64_t arena_offset = 0;  // bytes, 64-byte aligned
    int64_t nbytes = 0;
  };
  std::vector<Placement> placements;  // by BufferId; more than the graph has, when the compiler made temporaries
  int64_t arena_bytes = 0;
  std::vector<std::unique_ptr<Step>> steps;
  std::vector<int64_t> step_bytes;  // that each step reads and writes; what it touches more than once counts once
  // (output, input): the output may take over the input's memory, of the same size. When the output is first written the input is not used any
  // more, or only by the same step, which reads every element before it writes its place. A run honours this when nobody else can see the input's
  // bytes; each buffer takes part once. Never in a capture, whose replays read their inputs again.
  std::vector<std::pair<ir::BufferId, ir::BufferId>> donations;
  uint64_t id = 0;  // low 32 bits of the key's hash: the "8 hex digits" of logs, dumps, traces
  double compile_seconds = 0;
  bool from_disk = false;             // the program was read from the disk cache: nothing was compiled but what its kernels may lack
  std::function<std::string()> text;  // writes the program down
};

}  // namespace torch_hpu
