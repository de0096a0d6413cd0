// The interface of shape inference rules. A rule sees the metas of a node's arguments, never data, never a device tensor,
// and never the dispatcher. Results are cached by the recorder, so rules run once per distinct call.
#pragma once

#include <c10/core/MemoryFormat.h>

#include "csrc/ir/op.h"

namespace torch_hpu::ir {

struct InferContext {
  const OpInfo& op;
  // Exactly the node's arguments. Windows hold metas only (buffer is kNone); offsets are 0.
  c10::ArrayRef<Arg> args;
  c10::ArrayRef<Window> windows;
  c10::ArrayRef<WindowId> list_items;
  c10::ArrayRef<Scalar> scalars;     // category is valid, the value only of structural arguments (which are kConst anyway)
  std::vector<TensorMeta>& returns;  // empty on entry; one entry per tensor return

  const Window& window(size_t arg) const {
    return windows[args[arg].index];
  }
  bool has(size_t arg) const {
    return args[arg].kind != Arg::Kind::kNone;
  }
  bool is_tensor(size_t arg) const {
    return args[arg].kind == Arg::Kind::kWindow;
  }
  const c10::IValue& value(size_t arg) const {
    return args[arg].value;
  }
};

}  // namespace torch_hpu::ir
