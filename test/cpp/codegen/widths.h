// A fixture whose tests run once per vector width that this machine has.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "csrc/codegen/host.h"

namespace torch_hpu::codegen {

class Widths : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (GetParam() > host().vector_bytes) {
      GTEST_SKIP() << "no vectors of " << GetParam() << " bytes here";
    }
    scope_ = std::make_unique<HostScope>(GetParam());
  }
  void TearDown() override {
    scope_.reset();
  }

 private:
  std::unique_ptr<HostScope> scope_;
};

}  // namespace torch_hpu::codegen
