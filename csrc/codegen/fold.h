// Expressions over constants, computed when the program is compiled.
#pragma once

#include <c10/util/ArrayRef.h>

#include <optional>

#include "csrc/codegen/loop.h"

namespace torch_hpu::codegen {

// The value of `e` as a constant, its operands being the constants `operands`. It is what the generated instructions would give: they are built
// and evaluated. Nothing for what has no single value (leaves, reductions), would make the run fail, or needs a call into a math library.
std::optional<Expr> fold(const Expr& e, c10::ArrayRef<Expr> operands);

}  // namespace torch_hpu::codegen
