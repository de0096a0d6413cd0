// What kernels over single elements share: walking strided spaces, C++ types of dtypes, indices of either width.
#pragma once

#include <c10/util/ArrayRef.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstdint>
#include <type_traits>
#include <vector>

#include "csrc/kernels/step.h"

namespace torch_hpu::kernels {

// Walks a strided space in logical order.
class Walk {
 public:
  explicit Walk(c10::ArrayRef<int64_t> sizes) : sizes_(sizes.begin(), sizes.end()), at_(sizes.size(), 0) {}

  void seek(int64_t i) {
    for (size_t d = sizes_.size(); d-- > 0;) {
      at_[d] = i % sizes_[d];
      i /= sizes_[d];
    }
  }
  void next() {
    for (size_t d = sizes_.size(); d-- > 0;) {
      if (++at_[d] < sizes_[d]) {
        return;
      }
      at_[d] = 0;
    }
  }
  int64_t offset(c10::ArrayRef<int64_t> strides) const {
    int64_t o = 0;
    for (size_t d = 0; d < at_.size(); ++d) {
      o += at_[d] * strides[d];
    }
    return o;
  }
  int64_t at(size_t d) const {
    return at_[d];
  }

 private:
  std::vector<int64_t> sizes_, at_;
};

// The index at element `i`; Long or Int.
inline int64_t read_index(const void* base, c10::ScalarType t, int64_t i) {
  return t == c10::ScalarType::Long ? static_cast<const int64_t*>(base)[i] : static_cast<const int32_t*>(base)[i];
}

inline bool is_index(const Operand& o) {
  return o.dtype == c10::ScalarType::Long || o.dtype == c10::ScalarType::Int;
}

// Runs f(T{}) for the C++ type of a dtype.
template <typename F>
void with_type(c10::ScalarType t, F f) {
  switch (t) {
    case c10::ScalarType::Double:
      return f(double{});
    case c10::ScalarType::BFloat16:
      return f(c10::BFloat16{});
    case c10::ScalarType::Half:
      return f(c10::Half{});
    case c10::ScalarType::Long:
      return f(int64_t{});
    case c10::ScalarType::Int:
      return f(int32_t{});
    case c10::ScalarType::Short:
      return f(int16_t{});
    case c10::ScalarType::Char:
      return f(int8_t{});
    case c10::ScalarType::Byte:
      return f(uint8_t{});
    case c10::ScalarType::Bool:
      return f(bool{});
    default:
      return f(float{});
  }
}

inline bool has_type(c10::ScalarType t) {
  return c10::isIntegralType(t, true)
             ? t != c10::ScalarType::UInt16 && t != c10::ScalarType::UInt32 && t != c10::ScalarType::UInt64
             : t == c10::ScalarType::Float || t == c10::ScalarType::Double || t == c10::ScalarType::BFloat16 || t == c10::ScalarType::Half;
}

// What sums of T are kept in.
template <typename T>
using Accumulator = std::conditional_t<std::is_same_v<T, c10::BFloat16> || std::is_same_v<T, c10::Half>, float, T>;

// to += value; for Bool: or.
template <typename T>
void add(T& to, T value) {
  if constexpr (std::is_same_v<T, bool>) {
    to = to || value;
  } else {
    to = static_cast<T>(to + value);
  }
}

}  // namespace torch_hpu::kernels
