// Loops that never mark a step, see Note [Loops without mark_step].
#include "csrc/lazy/repetition.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "csrc/device/stream_queue.h"
#include "csrc/lazy/sync.h"
#include "csrc/support/counters.h"
#include "csrc/support/env.h"

namespace torch_hpu::lazy {
namespace {

// Feeds nodes without operands, as the recorder does: a cut begins a new graph.
class Feeder {
 public:
  // Whether it was cut behind this node.
  bool feed(uint64_t op, uint64_t memories) {
    graph_.nodes.emplace_back();
    ++fed_;
    if (repetition_.watches(graph_.nodes.size()) && repetition_.next(graph_, {op, memories})) {
      graph_ = {};
      cuts_.push_back(fed_);
      return true;
    }
    return false;
  }
  const std::vector<size_t>& cuts() const {
    return cuts_;
  }

 private:
  Repetition repetition_;
  ir::Graph graph_;
  size_t fed_ = 0;
  std::vector<size_t> cuts_;  // how many nodes had come
};

class Loops : public testing::Test {
 protected:
  void SetUp() override {
    set_option("max_nodes", "3200");  // watched from 800 nodes on, looked at every 100, cut after at least 50
  }
  void TearDown() override {
    set_option("max_nodes", "20000");
  }
};

TEST_F(Loops, AreCutOncePerIteration) {
  Feeder feeder;
  for (int i = 0; i < 40; ++i) {
    for (uint64_t op = 1; op <= 130; ++op) {
      feeder.feed(op, op % 3 == 0 ? op : 0);
    }
  }
  const auto& cuts = feeder.cuts();
  ASSERT_GE(cuts.size(), 25);
  EXPECT_LE(cuts[0], 800 + 3 * 130);
  for (size_t i = 1; i < cuts.size(); ++i) {
    EXPECT_EQ(cuts[i] - cuts[i - 1], 130);
  }
}

TEST_F(Loops, ThatAreShortAreCutAfterSeveralIterations) {
  Feeder feeder;
  for (uint64_t i = 0; i < 5000; ++i) {
    feeder.feed(i % 7, 1);
  }
  const auto& cuts = feeder.cuts();
  ASSERT_GE(cuts.size(), 2);
  EXPECT_EQ(cuts[1] - cuts[0], 56);  // the least multiple of 7 from 50 on
}

TEST_F(Loops, WhoseDataChangesAreLoops) {
  Feeder feeder;
  for (uint64_t i = 0; i < 40; ++i) {
    for (uint64_t op = 1; op <= 130; ++op) {
      feeder.feed(op, op == 1 ? 1000 + i : op % 3 == 0 ? op : 0);  // a new batch, the same weights
    }
  }
  EXPECT_GE(feeder.cuts().size(), 25);
}

TEST_F(Loops, AreNotTheEqualLayersOfANetwork) {
  Feeder feeder;
  for (uint64_t layer = 0; layer < 40; ++layer) {
    for (uint64_t op = 1; op <= 60; ++op) {
      feeder.feed(op, op % 3 == 0 ? 100 * layer + op : 0);  // each layer has its own weights
    }
  }
  EXPECT_TRUE(feeder.cuts().empty());
}

TEST_F(Loops, ThatEndAreForgotten) {
  Feeder feeder;
  for (uint64_t i = 0; i < 2000; ++i) {
    feeder.feed(i % 100, 1);
  }
  const size_t cuts = feeder.cuts().size();
  EXPECT_GT(cuts, 3);
  for (uint64_t i = 0; i < 500; ++i) {
    feeder.feed(1000 + i, 1);
  }
  EXPECT_EQ(feeder.cuts().size(), cuts);
  for (uint64_t i = 0; i < 2000; ++i) {
    feeder.feed(2000 + i % 90, 1);
  }
  EXPECT_GT(feeder.cuts().size(), cuts + 3);
}

TEST_F(Loops, OfATrainingKindReachASteadyState) {
  set_option("tier", "compiled");
  const auto options = at::TensorOptions().device(c10::Device(c10::DeviceType::PrivateUse1, 0));
  set_option("max_nodes", "200");
  const at::Tensor x = at::randn({8, 4}, options), weight = at::randn({4, 4}, options), momentum = at::zeros({4, 4}, options);
  uint64_t compilations = 0;
  for (int step = 0; step < 300; ++step) {
    const at::Tensor hidden = at::tanh(x.mm(weight)), gradient = x.t().mm(hidden * (1 - hidden * hidden));
    momentum.mul_(0.9).add_(gradient);
    weight.sub_(momentum, 0.001 * step);
    if (step == 100) {
      synchronize_device(0, "test");
      compilations = value(Counter::kCompilations);
    }
    if (step == 250) {
      device::wait_all(0);
      EXPECT_LE(value(Counter::kCompilations), compilations + 1);  // the first trace after the synchronisation is a long one again
    }
  }
  EXPECT_TRUE(at::isfinite(weight).all().item<bool>());
}

}  // namespace
}  // namespace torch_hpu::lazy
