// The spelling of a call's arguments as canonical words: call.cpp writes it, explain.cpp reads it.
#pragma once

#include <cstdint>

#include "csrc/ir/words.h"

namespace torch_hpu::lazy {

// The first word of every argument tells its kind, so that no two argument lists share a spelling. a, b and c depend on the kind.
enum class Tag : uint64_t {
  kNone = 1,
  kTensor,        // a: dtype, b: conj, neg and wrapped bits, c: number of dims; then sizes, strides
  kScalarTensor,  // a: dtype, b: wrapped
  kNumber,        // a: category
  kList,          // c: length; then the items, kTensor or kUndefined
  kUndefined,
  kConst = ir::kConstantWord,  // see ir/words.h
};

inline constexpr uint64_t head(Tag tag, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0) {
  return static_cast<uint64_t>(tag) | a << 8 | b << 16 | c << 32;
}

struct Head {
  explicit Head(uint64_t word) : tag(static_cast<Tag>(word & 0xff)), a(word >> 8 & 0xff), b(word >> 16 & 0xffff), c(word >> 32) {}
  Tag tag;
  uint64_t a, b, c;
};

}  // namespace torch_hpu::lazy
