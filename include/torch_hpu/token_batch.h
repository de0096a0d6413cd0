// What tokenizers make of several texts, and how they are asked for it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <optional>

#include "torch_hpu/export.h"

namespace torch_hpu {

// The model_max_length of a tokenizer whose files name none.
constexpr int64_t kNoMaxLength = std::numeric_limits<int64_t>::max();

// Token ids of several texts, padded to one length: int64 [N, T] each, on the CPU.
struct TORCH_HPU_API TokenBatch {
  at::Tensor input_ids;
  at::Tensor attention_mask;  // 0 where padding is
  at::Tensor token_type_ids;  // zeros: there are no pairs of texts
};

struct TORCH_HPU_API TokenizeOptions {
  std::optional<int64_t> max_length = std::nullopt;  // with special tokens, at least 2; by default the tokenizer's model_max_length
  bool truncation = true;                            // keeps the special tokens; without it longer texts stay as they are
  bool pad_to_max_length = false;  // else to the longest; an error where a text is longer still, or where there is no maximum
};

}  // namespace torch_hpu
