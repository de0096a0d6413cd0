// The invariants that every pass must keep.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::testing {

// Fails the running test when loops are malformed, an access can leave its buffer, a local buffer is read before anything writes it, or
// a loop stores what another point of it reads (Note [Aliasing inside a loop]).
void check_program(const compiler::Program& program, const char* after);

}  // namespace torch_hpu::testing
