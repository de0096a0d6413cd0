// The one kernel behind every op of the device: parse the arguments, check them, infer the outputs, record.
#pragma once

#include <ATen/core/boxing/KernelFunction.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <vector>

#include "csrc/ir/op.h"

namespace torch_hpu::aten {

class BoxedKernel final : public c10::OperatorKernel {
 public:
  explicit BoxedKernel(const c10::OperatorHandle& handle);
  void operator()(const c10::OperatorHandle& handle, c10::DispatchKeySet keys, torch::jit::Stack* stack) const;

 private:
  void run_breaking(const c10::OperatorHandle& handle, torch::jit::Stack* stack) const;

  enum class Kind : uint8_t { kTensor, kTensorList, kNumber, kConst, kGenerator };

  const ir::OpInfo* info_;      // of this overload
  const ir::OpInfo* recorded_;  // what a node of it names: the functional overload, when there is one
  std::vector<Kind> kinds_;     // by argument of the schema
  size_t recorded_args_;        // arguments that the recorded op takes; out arguments follow
  bool in_place_ = false;       // functional form, destination = argument 0
  bool may_be_masked_ = false;  // index.Tensor: breaks the graph when an index is a mask
  bool out_ = false;            // functional form, destinations = the out arguments
};

// Runs the op on zeros in the place of its device tensors, to learn what it returns where nothing may run for real (in a capture). The
// stack becomes the returns, on the CPU.
void run_dry(const c10::OperatorHandle& handle, torch::jit::Stack* stack);

// Runs the op at once on the CPU kernels, on the bytes of its arguments. Returns on the stack. `why` is the counter it falls under.
void run_now(const ir::OpInfo& info, const c10::OperatorHandle& handle, torch::jit::Stack* stack);

}  // namespace torch_hpu::aten
