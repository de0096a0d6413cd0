// When a trace is flushed, and the cause that is counted.
#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <gtest/gtest.h>

#include "csrc/device/device.h"
#include "csrc/lazy/explain.h"
#include "csrc/lazy/state.h"
#include "csrc/lazy/sync.h"
#include "csrc/support/counters.h"
#include "csrc/support/env.h"

namespace torch_hpu::lazy {
namespace {

const c10::Device kHpu(c10::DeviceType::PrivateUse1, 0);

at::Tensor ones(at::IntArrayRef sizes) {
  return at::ones(sizes, at::TensorOptions().device(kHpu));
}

class Flush : public testing::Test {
 protected:
  void SetUp() override {
    set_option("tier", "compiled");
    synchronize_device(0, "test");
    before_ = counter_details(Counter::kFlushes);
  }
  void TearDown() override {
    set_option("max_nodes", "20000");
    set_option("max_bytes", std::to_string(int64_t{4} << 30));
    synchronize_device(0, "test");
  }
  // How often `cause` flushed since the test began.
  uint64_t caused(const std::string& cause) {
    return counter_details(Counter::kFlushes)[cause] - before_[cause];
  }

 private:
  std::map<std::string, uint64_t> before_;
};

TEST_F(Flush, HostReads) {
  ones({2}).sum().item();
  EXPECT_EQ(caused("item()"), 1);
  ones({2}).cpu();
  EXPECT_EQ(caused("copy to the host"), 1);
  ones({2}).mutable_data_ptr();
  EXPECT_EQ(caused("data_ptr"), 1);
}

TEST_F(Flush, WhatIsReadyIsNotFlushedAgain) {
  const at::Tensor x = ones({2});
  x.cpu();
  const at::Tensor pending = x + 1;
  x.cpu();
  EXPECT_EQ(caused("copy to the host"), 2);  // the trace reads x: it runs first
  pending.cpu();
  x.cpu();
  EXPECT_EQ(caused("copy to the host"), 2);
}

TEST_F(Flush, Steps) {
  const at::Tensor x = ones({2});
  flush(device::default_stream(0), "mark_step");
  flush(device::default_stream(0), "mark_step");  // nothing was recorded
  EXPECT_EQ(caused("mark_step"), 1);
  const at::Tensor y = x + 1;
  synchronize_device(0, "synchronize");
  EXPECT_EQ(caused("synchronize"), 1);
}

TEST_F(Flush, AnotherStreamsUse) {
  const at::Tensor x = ones({2});
  const c10::StreamGuard guard(device::new_stream(0));
  const at::Tensor y = x + 1;
  EXPECT_EQ(caused("another stream"), 1);
  EXPECT_EQ(y.sum().item<float>(), 4);
}

TEST_F(Flush, Events) {
  const at::Tensor x = ones({2});
  c10::Event event(c10::DeviceType::PrivateUse1);
  event.record(device::default_stream(0));
  EXPECT_EQ(caused("event"), 1);
}

TEST_F(Flush, TheNodeLimit) {
  set_option("max_nodes", "10");
  at::Tensor x = ones({2});
  for (int i = 0; i < 25; ++i) {
    x = i % 7 == 0 ? at::sin(x) : x + i * x.detach();  // no loop that repeats in ten nodes
  }
  EXPECT_GE(caused("node limit") + caused("repetition"), 2);
  const Lock lock = lock_recording();
  const Trace* trace = find_open_trace(lock, device::default_stream(0));
  EXPECT_LT(trace->graph.nodes.size(), 10);
}

TEST_F(Flush, TheByteLimit) {
  set_option("max_bytes", "100000");
  std::vector<at::Tensor> kept;
  for (int i = 0; i < 10; ++i) {
    kept.push_back(ones({10000}));
  }
  EXPECT_EQ(caused("byte limit"), 3);  // 40,000 bytes each
}

TEST_F(Flush, EachCompilationHasAReason) {
  const auto last = [] { return compilation_reasons().back(); };
  const auto run = [](int64_t rows, int64_t columns, c10::ScalarType dtype, int64_t dim) {
    const at::Tensor x = at::ones({rows, columns}, at::TensorOptions().device(kHpu).dtype(dtype));
    flush(device::default_stream(0), "test");
    at::softmax(at::tanh(x), dim).cpu();
  };
  run(3, 4, at::kFloat, 0);
  run(3, 5, at::kFloat, 0);
  EXPECT_NE(last().find("shape: [aten::tanh] argument 'self' has shape [3, 5], in graph"), std::string::npos) << last();
  run(3, 5, at::kDouble, 0);
  EXPECT_NE(last().find("dtype: [aten::tanh] argument 'self' is Double, in graph"), std::string::npos) << last();
  run(3, 5, at::kDouble, 1);
  EXPECT_NE(last().find("constant: [aten::_softmax] argument 'dim' is 1, in graph"), std::string::npos) << last();
  const uint64_t compilations = value(Counter::kCompilations);
  run(3, 5, at::kDouble, 1);
  EXPECT_EQ(value(Counter::kCompilations), compilations);
  const at::Tensor x = ones({3, 4});
  flush(device::default_stream(0), "test");
  const auto only_rows = [](const at::Tensor& t) {
    const at::Tensor rows = at::softmax(at::asinh(t), 0);  // what asinh returns is gone before the flush
    rows.cpu();
  };
  only_rows(x);
  EXPECT_NE(last().find("new op sequence: after 0 nodes as in graph"), std::string::npos) << last();
  EXPECT_NE(last().find("comes aten::asinh"), std::string::npos) << last();
  only_rows(x.t());
  EXPECT_NE(last().find("[aten::asinh] argument 'self' has s"), std::string::npos) << last();
  const at::Tensor kept = at::asinh(x), rows = at::softmax(kept, 0);
  rows.cpu();
  EXPECT_NE(last().find("liveness: "), std::string::npos) << last();
}

}  // namespace
}  // namespace torch_hpu::lazy
