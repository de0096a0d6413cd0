// Every op of the dispatcher as an OpInfo, made from its schema and its row of the op table.
#pragma once

#include <string_view>

#include "csrc/ir/op.h"

namespace torch_hpu::ir {

// Whether the kernel of `op` for `key` is a Python function: it may look at anything, and needs the GIL.
bool kernel_is_python(const c10::OperatorHandle& op, c10::DispatchKey key);

// The info of an op; made at its first use, lives as long as the process. Thread-safe.
const OpInfo& op_info(const c10::OperatorHandle& handle);

// By name, "aten::add.Tensor"; null when the dispatcher does not know it.
const OpInfo* find_op(std::string_view name);

}  // namespace torch_hpu::ir
