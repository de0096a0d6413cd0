// A call as the recorder sees it: an op with its arguments as metas, before it is part of any trace. Its words are the canonical
// form of everything structural; they are the key of shape inference and become part of the trace's key.
#pragma once

#include <ATen/core/Tensor.h>

#include "csrc/ir/infer.h"
#include "csrc/ir/op.h"
#include "csrc/lazy/trace.h"

namespace torch_hpu::lazy {

struct Call {
  explicit Call(const ir::OpInfo& op);

  const ir::OpInfo* op;
  c10::SmallVector<ir::Arg, 8> args;  // ids count within this call
  c10::SmallVector<ir::Window, 6> windows;
  c10::SmallVector<c10::StorageImpl*, 6> storages;  // by WindowId; the caller keeps the tensors alive
  c10::SmallVector<ir::WindowId, 4> list_items;
  c10::SmallVector<ir::Scalar, 4> scalars;
  c10::SmallVector<uint64_t, 64> words;
  at::Generator generator;  // of random ops; undefined: the device's default

  // Appends the next argument, in schema order.
  void none();
  void tensor(const at::Tensor& tensor);         // defined, on hpu
  void scalar_tensor(const at::Tensor& tensor);  // 0-dim on the CPU: its value is read now
  void number(const at::Scalar& value);          // a run-time argument
  void constant(const c10::IValue& value);       // structure; throws for kinds of values that cannot be compared
  void begin_list(size_t n);
  void list_item(const at::Tensor& tensor);  // undefined tensors allowed

  // A window that is no argument (the destination of an out= overload). Not part of the words.
  ir::WindowId extra_window(const at::Tensor& tensor);

  // Takes the metas of a tensor argument anew, after it was resized. The words keep what was given.
  void refresh(ir::WindowId window, const at::Tensor& tensor);

 private:
  ir::WindowId add_window(const at::Tensor& tensor);
};

}  // namespace torch_hpu::lazy
