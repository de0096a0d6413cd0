// Pointwise expressions as a library's post-ops.
#pragma once

#include <optional>
#include <vector>

#include "csrc/codegen/loop.h"
#include "csrc/kernels/library.h"

namespace torch_hpu::compiler {

// A post-op whose operand, when it has one, is still an expression of the loop.
struct PostOpStep {
  kernels::PostOp op;
  codegen::ExprId operand = codegen::kNoExpr;
};

// Reads `value` as a chain of post-ops that begins at `raw` (both ids in the loop): steps in the order of execution, none when value is
// raw itself. The operands do not depend on raw. What must be computed for an operand first (a negation) is appended to the loop.
// Nothing when the expression is no such chain.
std::optional<std::vector<PostOpStep>> match_post_ops(codegen::Loop& loop, codegen::ExprId raw, codegen::ExprId value);

}  // namespace torch_hpu::compiler
