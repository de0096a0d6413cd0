// Appends calls to traces.
#pragma once

#include <vector>

#include "csrc/lazy/call.h"
#include "csrc/lazy/infer.h"

namespace torch_hpu::lazy {

// A tensor of the hpu device over `storage`.
at::Tensor make_tensor(c10::Storage storage, c10::ScalarType dtype, c10::IntArrayRef sizes, c10::IntArrayRef strides, int64_t offset = 0);
// A fresh pending tensor with a storage of its own.
at::Tensor make_tensor(c10::DeviceIndex device, c10::ScalarType dtype, c10::IntArrayRef sizes, c10::IntArrayRef strides);

// Where a return of a functional op goes.
struct Destination {
  // kFresh: a new tensor. Otherwise a window of the call: of an argument (in-place) or an extra window (out=).
  static constexpr ir::WindowId kFresh = ir::kNone;
  ir::WindowId window = kFresh;
};

// Records a functional call whose returns have these metas. destinations: one per return, or empty (all fresh).
// Returns the fresh tensors, in order (undefined for returns that are not defined or went to a destination).
std::vector<at::Tensor> record(Call& call, const Metas& metas, c10::ArrayRef<Destination> destinations, c10::DeviceIndex device);

// Records a call that writes `mutated` (windows of the call) itself, and returns fresh tensors with these metas.
std::vector<at::Tensor> record_mutating(Call& call, c10::ArrayRef<ir::WindowId> mutated, const Metas& metas, c10::DeviceIndex device);

// Whether the call would become part of a capture.
bool records_into_capture(const Call& call, c10::DeviceIndex device);

// dst.copy_(src): both on hpu, src already expanded to dst's sizes.
void record_copy(const at::Tensor& dst, const at::Tensor& src);

}  // namespace torch_hpu::lazy
