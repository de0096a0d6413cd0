// What rules share: metas of the usual layouts, and checks of arguments that throw the user's error.
#pragma once

#include <optional>
#include <vector>

#include "csrc/ir/infer.h"

namespace torch_hpu::ir::rules {

TensorMeta contiguous(c10::ScalarType dtype, c10::IntArrayRef sizes);
TensorMeta undefined();
// Dense, with the dims in the memory order of `w` (what empty_like makes).
TensorMeta like(const Window& w, std::optional<c10::ScalarType> dtype = std::nullopt);
// Channels-last when that is asked for and there is such a format for so many dims; contiguous otherwise.
TensorMeta image(c10::ScalarType dtype, c10::IntArrayRef sizes, bool channels_last);

// Whether the memory format is channels-last, and not contiguous at the same time.
bool is_channels_last(const Window& w);

// An int list argument; one value stands for n.
std::vector<int64_t> expand(const c10::IValue& v, size_t n);

void check_dims(InferContext& c, size_t arg, size_t dims, const char* what);
void check_same_dtype(InferContext& c, size_t a, size_t b);
void check_index_dtype(InferContext& c, size_t arg);  // int64 or int32

}  // namespace torch_hpu::ir::rules
