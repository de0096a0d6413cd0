// What attention forward and backward share: the operands as both see them, and the scores of a block of rows against a block of keys.
#pragma once

#include <c10/util/BFloat16.h>

#include "csrc/kernels/step.h"
#include "csrc/kernels/tile.h"

namespace torch_hpu::kernels {

// Note [Attention blocks]
// Rows of the score matrix are (head of the group, l): heads that share a key and value are rows of one product, so that decoding
// with grouped heads reads each key once. Row r of group g is head g * repeat + r / L at l = r % L.
struct AttentionShape {
  int64_t b, h, g, l, s, e, f;  // batch, heads, groups, queries, keys, widths of key and value
  int64_t repeat;               // heads per group
  bool causal;
  float scale;

  int64_t rows() const {
    return repeat * l;
  }
};
AttentionShape attention_shape(const LibraryCall& call, const Operand& q, const Operand& k, const Operand& v);

// A rank-4 operand of float or bfloat16 in one run.
struct Heads {
  const std::byte* data = nullptr;
  c10::ScalarType dtype = c10::ScalarType::Float;
  int64_t itemsize = 4;
  std::array<int64_t, 4> sizes{}, strides{};

  Heads() = default;
  Heads(const Operand& o, const Invocation& invocation);
  const void* at(int64_t b, int64_t h, int64_t row) const {
    return data + (b * strides[0] + h * strides[1] + row * strides[2]) * itemsize;
  }
};

// n consecutive elements as float.
void widen(const void* from, c10::ScalarType dtype, int64_t n, float factor, float* to);
// n floats stored as dtype.
void narrow(const float* from, int64_t n, void* to, c10::ScalarType dtype);

// The mask, as added to the scores of one row: bool masks add 0 or -inf. Broadcast dims have stride 0.
struct Mask {
  bool present = false;
  c10::ScalarType dtype = c10::ScalarType::Float;
  const std::byte* data = nullptr;
  std::array<int64_t, 4> strides{};

  Mask() = default;
  Mask(const Operand& o, const Invocation& invocation);
  void add(int64_t b, int64_t h, int64_t l, int64_t s0, int64_t n, float* scores) const;
};

// Adds the mask, and -inf behind the diagonal.
void mask_row(const AttentionShape& shape, const Mask& mask, int64_t b, int64_t h, int64_t l, int64_t s0, int64_t n, float* scores);

bool attention_supported(const LibraryCall& call);

}  // namespace torch_hpu::kernels
