// Constants as words: equal words mean equal values.
#pragma once

#include <ATen/core/ivalue.h>
#include <c10/util/SmallVector.h>

#include <cstdint>

namespace torch_hpu::ir {

// The low byte of the first word of every constant.
inline constexpr uint64_t kConstantWord = 7;

// Throws for kinds of values that cannot be compared.
void append_words(c10::SmallVectorImpl<uint64_t>& words, const c10::IValue& value);

}  // namespace torch_hpu::ir
