// Memory for a loop's buffers with guard bytes around each, and the comparison of generated code with the reference.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "test/cpp/codegen/loop_builder.h"
#include "test/cpp/codegen/reference.h"

namespace torch_hpu::codegen {

class Memory {
 public:
  // Adds a buffer of n elements, filled with random values of the dtype. Returns its number.
  uint32_t add(c10::ScalarType dtype, int64_t n);
  uint32_t add(c10::ScalarType dtype, const std::vector<double>& values);
  uint32_t add_integers(c10::ScalarType dtype, const std::vector<int64_t>& values);

  std::vector<std::byte*> pointers();
  template <class T>
  T* data(uint32_t buffer) {
    return reinterpret_cast<T*>(buffers_[buffer].bytes.data() + kGuard);
  }
  int64_t size(uint32_t buffer) const {
    return buffers_[buffer].n;
  }
  Number at(uint32_t buffer, int64_t i);
  void check_guards() const;
  // Compares all buffers: floating point values within `ulps` units of the last place or `absolute`; the rest exactly.
  void expect_near(Memory& expected, double ulps, double absolute, const std::string& what);

  std::mt19937_64 random{42};

 private:
  static constexpr size_t kGuard = 128;
  static constexpr std::byte kGuardByte{0xFF};  // NaN in every floating point dtype: reads outside show in the results
  struct Buffer {
    c10::ScalarType dtype;
    int64_t n;
    std::vector<std::byte> bytes;
  };
  std::vector<Buffer> buffers_;
};

struct Tolerance {
  double ulps = 4;
  double absolute = 0;
};

// Compiles and runs the loop on `memory`, the reference on a copy, compares. Returns what the run threw ("": nothing).
std::string expect_agrees(const Loop& loop, Memory& memory, Tolerance tolerance = {}, std::vector<int64_t> offsets = {},
                          std::vector<ir::ScalarValue> scalars = {});

// Distance in units of the last place of `dtype` (Half and BFloat16 too). NaNs are equal; inf and finite are far apart.
double ulp_distance(double a, double b, c10::ScalarType dtype);

std::vector<double> special_values(c10::ScalarType dtype);

}  // namespace torch_hpu::codegen
