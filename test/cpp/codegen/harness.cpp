#include "test/cpp/codegen/harness.h"

#include <c10/core/ScalarType.h>

#include <cmath>

#include "csrc/codegen/op_traits.h"

namespace torch_hpu::codegen {

uint32_t Memory::add(S dtype, int64_t n) {
  std::vector<double> v(static_cast<size_t>(n));
  std::uniform_real_distribution<double> real(-3, 3);
  std::uniform_int_distribution<int64_t> small(-50, 50);
  for (double& x : v) {
    const int64_t i = small(random);
    x = c10::isFloatingType(dtype) ? real(random) : dtype == S::Bool ? (i & 1) : dtype == S::Byte ? std::abs(i) : i;
  }
  return add(dtype, v);
}

uint32_t Memory::add(S dtype, const std::vector<double>& values) {
  const auto n = static_cast<int64_t>(values.size());
  const int64_t itemsize = static_cast<int64_t>(c10::elementSize(dtype));
  buffers_.push_back({dtype, n, std::vector<std::byte>(n * itemsize + 2 * kGuard, kGuardByte)});
  for (int64_t i = 0; i < n; ++i) {
    Number x;
    x.d = values[i];
    x.i = c10::isFloatingType(dtype) ? 0 : static_cast<int64_t>(values[i]);
    store_reference(buffers_.back().bytes.data() + kGuard + i * itemsize, dtype, x);
  }
  return static_cast<uint32_t>(buffers_.size() - 1);
}

uint32_t Memory::add_integers(S dtype, const std::vector<int64_t>& values) {
  const uint32_t b = add(dtype, std::vector<double>(values.size(), 0));
  const int64_t itemsize = static_cast<int64_t>(c10::elementSize(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    Number x;
    x.i = values[i];
    store_reference(buffers_[b].bytes.data() + kGuard + i * itemsize, dtype, x);
  }
  return b;
}

std::vector<std::byte*> Memory::pointers() {
  std::vector<std::byte*> p;
  for (Buffer& b : buffers_) {
    p.push_back(b.bytes.data() + kGuard);
  }
  return p;
}

Number Memory::at(uint32_t buffer, int64_t i) {
  Buffer& b = buffers_[buffer];
  return load_reference(b.bytes.data() + kGuard + i * static_cast<int64_t>(c10::elementSize(b.dtype)), b.dtype);
}

void Memory::check_guards() const {
  for (size_t i = 0; i < buffers_.size(); ++i) {
    const auto& bytes = buffers_[i].bytes;
    for (size_t k = 0; k < kGuard; ++k) {
      ASSERT_EQ(bytes[k], kGuardByte) << "write before buffer " << i;
      ASSERT_EQ(bytes[bytes.size() - 1 - k], kGuardByte) << "write behind buffer " << i;
    }
  }
}

double ulp_distance(double a, double b, S dtype) {
  if (std::isnan(a) || std::isnan(b)) {
    return std::isnan(a) && std::isnan(b) ? 0 : INFINITY;
  }
  if (a == b) {
    return 0;
  }
  const int digits = dtype == S::Double ? 53 : dtype == S::Float ? 24 : dtype == S::Half ? 11 : 8;
  const int least = dtype == S::Double ? -1074 : dtype == S::Half ? -24 : dtype == S::Float ? -149 : -133;
  const double most = dtype == S::Double  ? 0x1.fffffffffffffp1023
                      : dtype == S::Half  ? 65504
                      : dtype == S::Float ? 0x1.fffffep127
                                          : 0x1.fep127;
  if (std::isinf(a) || std::isinf(b)) {  // one step beyond the largest number
    const double finite = std::isinf(a) ? b : a, inf = std::isinf(a) ? a : b;
    return !std::isinf(finite) && (finite > 0) == (inf > 0) && std::fabs(finite) == most ? 1 : INFINITY;
  }
  int exponent = 0;
  std::frexp(std::max(std::fabs(a), std::fabs(b)), &exponent);
  return std::fabs(a - b) / std::ldexp(1.0, std::max(exponent - digits, least));
}

void Memory::expect_near(Memory& expected, double ulps, double absolute, const std::string& what) {
  int failures = 0;
  for (uint32_t b = 0; b < buffers_.size(); ++b) {
    const S t = buffers_[b].dtype;
    for (int64_t i = 0; i < buffers_[b].n && failures < 4; ++i) {
      const Number got = at(b, i), want = expected.at(b, i);
      const bool same =
          c10::isFloatingType(t) ? ulp_distance(got.d, want.d, t) <= ulps || std::fabs(got.d - want.d) <= absolute : got.i == want.i;
      if (!same) {
        ++failures;
        ADD_FAILURE() << what << "buffer " << b << " (" << c10::toString(t) << ") element " << i << ": got " << got.d << " " << got.i
                      << ", expected " << want.d << " " << want.i << ", " << ulp_distance(got.d, want.d, t) << " ulps";
      }
    }
  }
}

std::string expect_agrees(const Loop& loop, Memory& memory, Tolerance tolerance, std::vector<int64_t> offsets,
                          std::vector<ir::ScalarValue> scalars) {
  Memory expected = memory;
  const ReferenceRun reference = run_reference(loop, expected.pointers().data(), offsets.data(), scalars.data());
  std::string thrown;
  const auto kernel = compile({loop})[0];
  try {
    kernel->run(memory.pointers().data(), offsets.data(), scalars.data());
  } catch (const c10::IndexError& e) {
    thrown = e.what_without_backtrace();
    EXPECT_TRUE(reference.bad_index) << thrown;
  } catch (const c10::Error& e) {
    thrown = e.what_without_backtrace();
    EXPECT_TRUE(reference.zero_division) << thrown;
  }
  EXPECT_EQ(thrown.empty(), !reference.bad_index && !reference.zero_division) << to_string(loop);
  memory.check_guards();
  if (thrown.empty()) {
    memory.expect_near(expected, tolerance.ulps, tolerance.absolute, to_string(loop));
  }
  return thrown;
}

std::vector<double> special_values(S dtype) {
  std::vector<double> v{0.0,
                        -0.0,
                        1,
                        -1,
                        0.5,
                        -0.5,
                        2,
                        -2,
                        3,
                        -3,
                        1.5,
                        2.5,
                        -1.5,
                        -2.5,
                        1e-3,
                        -1e-3,
                        0.1,
                        -0.1,
                        0.9999999,
                        1.0000001,
                        10,
                        -10,
                        88,
                        -88,
                        89,
                        -89,
                        104,
                        -104,
                        127.5,
                        -127.5,
                        1000,
                        -1000,
                        8388607.5,
                        -8388608.5,
                        1e9,
                        1e15,
                        -1e15,
                        INFINITY,
                        -INFINITY,
                        NAN,
                        3.14159265358979,
                        -1.57079632679,
                        6.2831853,
                        0.7071067811865,
                        1e-8,
                        -1e-8,
                        1e-20};
  if (dtype == S::Float) {
    for (double x : {0x1p-149, -0x1p-149, 0x1p-126, -0x1p-126, 0x1.8p-130, 0x1.fffffep127, -0x1.fffffep127, 1e30, 1e-38}) {
      v.push_back(x);
    }
  } else if (dtype == S::Double) {
    for (double x : {0x1p-1074, -0x1p-1074, 0x1p-1022, 0x1.fffffffffffffp1023, 709.0, 710.0, -745.0, 1e300, 1e-300}) {
      v.push_back(x);
    }
  }
  return v;
}

}  // namespace torch_hpu::codegen
