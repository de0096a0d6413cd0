// Expressions of one loop in their simplest form.
#pragma once

#include "csrc/codegen/loop.h"

namespace torch_hpu::compiler {

// Rewrites expressions by the table of rules in rewrite.cpp until none applies; equal ones become one, constants are folded. Every value stays
// what it is, bit for bit but for the payloads of NaNs.
void rewrite(codegen::Loop& loop);

}  // namespace torch_hpu::compiler
