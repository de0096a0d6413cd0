// Constants as words: equal words mean equal values.
#pragma once

#include <ATen/core/ivalue.h>
#include <c10/util/SmallVector.h>

#include <cstdint>

namespace torch_hpu::ir {

// The first word of every constant: kConstantWord | kind << 8. Then one word, a value or a length, and what else the kind has.
inline constexpr uint64_t kConstantWord = 7;
enum class Constant : uint64_t { kNone, kBool, kInt, kDouble, kIntList, kString, kDevice, kDoubleList, kBoolList, kComplex, kList };

// Throws for kinds of values that cannot be compared.
void append_words(c10::SmallVectorImpl<uint64_t>& words, const c10::IValue& value);

}  // namespace torch_hpu::ir
