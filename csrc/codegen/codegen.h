// Loops in, machine code out. The only header of codegen/ that others need; LLVM stays behind it.
#pragma once

#include <memory>
#include <vector>

#include "csrc/codegen/loop.h"

namespace torch_hpu::codegen {

// Machine code of one loop, or of a group of loops. Immutable, callable from any thread.
class Kernel {
 public:
  virtual ~Kernel() = default;

  // Runs the loop over all its points, on several threads when it is worth it (at::parallel_for's thread count).
  // pointers: by the loop's localized buffer numbers; offsets: by offset slot, elements; scalars: by scalar slot. Of a group: the
  // first loop's, then the second's, and so on.
  // Throws c10::IndexError / c10::Error when a kCheckIndex or an integer division failed, with the loop's name.
  virtual void run(std::byte* const* pointers, const int64_t* offsets, const ir::ScalarValue* scalars) const = 0;
};

// Compiles localized loops (see localize()), in one module. Kernels are shared by structure: a loop equal to one
// compiled before in this process costs a look-up. Thread-safe.
std::vector<std::shared_ptr<const Kernel>> compile(const std::vector<Loop>& loops);

// One kernel per group. The loops of a group run side by side: none may touch what another stores.
std::vector<std::shared_ptr<const Kernel>> compile(const std::vector<std::vector<Loop>>& groups);

// Makes what the first compile() of the process needs: some milliseconds of work. Thread-safe.
void prepare();

// The name of a group's kernel: "fused_adamw_and_99_more".
std::string group_name(const std::vector<Loop>& group);

// Replaces the compiler's numbers by dense local ones; the vectors give what each local number stands for.
struct Localized {
  Loop loop;
  std::vector<uint32_t> buffers;      // local pointer -> BufferId
  std::vector<uint32_t> windows;      // offset slot -> WindowId
  std::vector<ir::ScalarId> scalars;  // scalar slot -> ScalarId
};
Localized localize(const Loop& loop);

// The host's features as the code generator uses them, for cache keys and reports: "znver5 avx512f ... width=64".
std::string host_description();

}  // namespace torch_hpu::codegen
