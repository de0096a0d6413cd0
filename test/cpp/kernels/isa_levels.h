// A fixture whose tests run once per instruction-set level that this machine has.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "csrc/kernels/simd.h"

namespace torch_hpu::testing {

class IsaLevels : public ::testing::TestWithParam<kernels::simd::Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > kernels::simd::detected_isa()) {
      GTEST_SKIP() << "this machine does not have the level";
    }
    limit_.emplace(GetParam());
  }

 private:
  std::optional<kernels::simd::IsaLimit> limit_;
};

inline const auto kIsaLevels = ::testing::Values(kernels::simd::Isa::kBase, kernels::simd::Isa::kAvx2, kernels::simd::Isa::kAvx512);

inline std::string isa_name(const ::testing::TestParamInfo<kernels::simd::Isa>& info) {
  constexpr const char* kNames[] = {"base", "avx2", "avx512"};
  return kNames[static_cast<size_t>(info.param)];
}

}  // namespace torch_hpu::testing
