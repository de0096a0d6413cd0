// How a reduction of one dtype is made of the dtypes and operations that the engine has.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Types.hpp>

#include <string>

namespace torch_hpu::distributed {

// bool is reduced as bytes (a sum of truth values is their maximum), 16-bit integers as 32-bit ones, 8-bit floats as float, complex numbers by
// parts. An average is a sum that is divided afterwards (integers towards zero), a premultiplied sum is multiplied before.
class Reduction {
 public:
  // Throws when the dtype does not have the operation. collective: for messages.
  Reduction(const std::string& collective, const c10d::ReduceOp& op, c10::ScalarType dtype);

  // The values as the engine gets them: contiguous; the tensor itself where nothing has to be done.
  at::Tensor enter(const at::Tensor& tensor) const;
  // A result of the engine (may be changed) into its place, recorded.
  void leave(at::Tensor reduced, const at::Tensor& place, int ranks) const;

  c10::ScalarType view() const {  // of the bytes, for the engine
    return view_;
  }
  c10::ScalarType dtype() const {  // of enter()'s result
    return computed_;
  }
  c10d::ReduceOp engine_op() const {
    return engine_op_;
  }

 private:
  c10::ScalarType dtype_, computed_, view_;
  c10d::ReduceOp op_, engine_op_;
};

// Contiguous, with the values resolved; the tensor itself where it is.
at::Tensor dense(const at::Tensor& tensor);
bool is_dense(const at::Tensor& tensor);

}  // namespace torch_hpu::distributed
