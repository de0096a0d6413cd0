// Epilogues: a pointwise loop over the result of a library call becomes post-ops of the call.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

// A loop goes away when all it does is a chain of post-ops on a result that nobody else needs. Operands that are smaller than the result
// (scale and shift of a batch norm, a scaled bias, a run-time scalar) are computed by a loop of their own first. Runs before fusion, where
// a loop is still one op and has not yet been joined with readers that take no part in the chain, and behind simplify.
void fuse_epilogues(Program& program);

}  // namespace torch_hpu::compiler
