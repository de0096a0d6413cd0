// Ops of other libraries (custom ops): what the recorder can know of them.
#pragma once

#include <memory>

#include "csrc/ir/op.h"
#include "csrc/lazy/call.h"
#include "csrc/lazy/infer.h"

namespace torch_hpu::aten {

inline bool is_custom(const ir::OpInfo& op) {
  return op.name.compare(0, 6, "aten::") != 0;
}

// The metas of the op's returns behind the first `aliased` ones, by its own Meta kernel, which may be Python: no lock of ours may be held.
// Null when it has none, or when that cannot tell (it throws where the shape depends on data). `arguments`: of the call, in schema order.
// The answer is remembered when it can only depend on the call's words: not of a Python function, nor of a call with numbers in it.
std::shared_ptr<const lazy::Metas> ask_meta(const ir::OpInfo& op, const lazy::Call& call, c10::ArrayRef<c10::IValue> arguments,
                                            size_t aliased);

// The metas of the last `n` values of a stack, all tensors.
lazy::Metas metas_of_returns(c10::ArrayRef<c10::IValue> stack, size_t n);

}  // namespace torch_hpu::aten
