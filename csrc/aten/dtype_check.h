// Dtypes that ATen has no kernel for are an error of the call that brings them.
#pragma once

#include <ATen/core/ivalue.h>

#include "csrc/ir/op.h"

namespace torch_hpu::aten {

// Throws ATen's own error, with the op's name and the dtypes, when its CPU kernel does not take arguments of these dtypes. ATen is asked
// once for each op and combination of dtypes: the kernel runs on single elements.
void check_dtypes(const ir::OpInfo& op, c10::ArrayRef<c10::IValue> arguments);

}  // namespace torch_hpu::aten
