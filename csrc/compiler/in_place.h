// Which outputs of pointwise loops may lie where an input of the same loop lies.
#pragma once

#include <vector>

#include "csrc/compiler/memory_plan.h"
#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

// Pairs of buffers of which one item last uses the first and first writes the second: a pointwise loop that reads and writes whole buffers by one
// address map, so that every element is read before its place is written.
std::vector<Succession> in_place_pairs(const Program& program, const std::vector<Lifetime>& lifetimes);

}  // namespace torch_hpu::compiler
