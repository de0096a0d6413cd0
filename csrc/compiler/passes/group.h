// Horizontal fusion: independent loops become one kernel, so that an optimizer step over all parameters, or the many small
// reductions of a backward pass, is entered once and shared out to the threads as one piece of work.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

// A loop moves up to an earlier loop or group when nothing in between is in its way. Loops that store only what outlives the
// program anyway (parameters, optimizer state) may come from anywhere; loops that make temporaries must be small and near, so that
// they neither keep memory alive for longer nor push each other's data out of the caches.
void group_loops(Program& program);

}  // namespace torch_hpu::compiler
