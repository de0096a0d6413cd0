// What attention forward and backward share: the operands as both see them, and the masking of scores.
#pragma once

#include <array>

#include "csrc/kernels/step.h"

namespace torch_hpu::kernels {

// Note [Attention blocks]
// Rows of the score matrix are (head of the group, l): heads that share a key and value are rows of one product, so that decoding
// with grouped heads reads each key once. Row r of group g is head g * repeat + r / L at l = r % L. Blocks of rows meet blocks of keys;
// of a block of keys and values packed copies are made once (rows.h, Note [Panels]) and used by all blocks of rows.
struct AttentionShape {
  int64_t b, h, g, l, s, e, f;  // batch, heads, groups, queries, keys, widths of key and value
  int64_t repeat;               // heads per group
  bool causal;
  float scale;

  int64_t rows() const {
    return repeat * l;
  }
  int64_t head(int64_t g, int64_t r) const {
    return g * repeat + r / l;
  }
  // How many keys some row of [r0, r0 + n) may see.
  int64_t visible(int64_t r0, int64_t n) const;
};
AttentionShape attention_shape(const LibraryCall& call, const Operand& q, const Operand& k, const Operand& v);

// An operand [B, H, rows, width] of float, bfloat16 or half whose rows lie in one run.
struct Heads {
  std::byte* data = nullptr;  // null: an operand left out
  c10::ScalarType dtype = c10::ScalarType::Float;
  std::array<int64_t, 4> strides{};

  Heads() = default;
  Heads(const Operand& o, const Invocation& invocation);
  std::byte* at(int64_t b, int64_t h, int64_t row) const {
    return data + (b * strides[0] + h * strides[1] + row * strides[2]) * static_cast<int64_t>(c10::elementSize(dtype));
  }
  int64_t row() const {
    return strides[2];
  }
};

// The mask, as added to the scores of one row: bool masks add 0 or -inf. Broadcast dims have stride 0.
struct Mask {
  c10::ScalarType dtype = c10::ScalarType::Float;
  const std::byte* data = nullptr;  // null: none
  std::array<int64_t, 4> strides{};

  Mask() = default;
  Mask(const Operand& o, const Invocation& invocation);
  void add(int64_t b, int64_t h, int64_t l, int64_t s0, int64_t n, float* scores) const;
};

// Masks the scores of row r of group g against the keys s0, s0 + 1 ...: adds the mask, and -inf behind the diagonal.
void mask_row(const AttentionShape& shape, const Mask& mask, int64_t b, int64_t g, int64_t r, int64_t s0, int64_t n, float* scores);

}  // namespace torch_hpu::kernels
