// Learning-rate schedules by their formulas; test/python/test_lr_schedules.py compares 10,000 steps of each with transformers.
#include <torch_hpu/lr_scheduler.h>

#include <cmath>
#include <numbers>

#include "test/cpp/train/train_test.h"

namespace {

using torch_hpu::LRScheduler;
using torch_hpu::LRSchedulerOptions;
using torch_hpu::test::throws;

constexpr double kPeak = 2e-3;

// The rates of the steps 0 to n.
std::vector<double> rates(const LRSchedulerOptions& options, int n) {
  LRScheduler scheduler(options, {kPeak});
  std::vector<double> all;
  for (int i = 0; i <= n; ++i) {
    all.push_back(scheduler.lrs().front());
    scheduler.step();
  }
  return all;
}

TEST(Schedule, FollowsItsFormula) {
  const double pi = std::numbers::pi;
  const auto linear = rates({"linear", 10, 110, {}}, 120);
  EXPECT_DOUBLE_EQ(linear[0], 0);
  EXPECT_DOUBLE_EQ(linear[5], kPeak / 2);
  EXPECT_DOUBLE_EQ(linear[10], kPeak);
  EXPECT_DOUBLE_EQ(linear[60], kPeak / 2);
  EXPECT_DOUBLE_EQ(linear[110], 0);
  EXPECT_DOUBLE_EQ(linear[120], 0);
  const auto cosine = rates({"cosine", 10, 110, {}}, 110);
  EXPECT_DOUBLE_EQ(cosine[10], kPeak);
  EXPECT_NEAR(cosine[35], kPeak * 0.5 * (1 + std::cos(pi / 4)), 1e-15);
  EXPECT_NEAR(cosine[110], 0, 1e-15);
  const auto restarts = rates({"cosine_with_restarts", 0, 100, {{"num_cycles", 2}}}, 101);
  EXPECT_NEAR(restarts[25], kPeak / 2, 1e-15);
  EXPECT_NEAR(restarts[50], kPeak, 1e-15);  // begins anew
  EXPECT_DOUBLE_EQ(restarts[100], 0);
  const auto polynomial = rates({"polynomial", 0, 100, {{"power", 2}, {"lr_end", 1e-4}}}, 102);
  EXPECT_NEAR(polynomial[50], (kPeak - 1e-4) / 4 + 1e-4, 1e-15);
  EXPECT_NEAR(polynomial[102], 1e-4, 1e-15);
  EXPECT_EQ(rates({"constant", 10, 100, {}}, 100), std::vector<double>(101, kPeak));
  const auto warm = rates({"constant_with_warmup", 4, 100, {}}, 100);
  EXPECT_DOUBLE_EQ(warm[1], kPeak / 4);
  EXPECT_DOUBLE_EQ(warm[100], kPeak);
  const auto inverse = rates({"inverse_sqrt", 16, 0, {}}, 64);
  EXPECT_DOUBLE_EQ(inverse[8], kPeak / 2);
  EXPECT_DOUBLE_EQ(inverse[16], kPeak);
  EXPECT_DOUBLE_EQ(inverse[64], kPeak / 2);
}

TEST(Schedule, EveryGroupHasItsOwnPeak) {
  LRScheduler scheduler({"linear", 0, 10, {}}, {1.0, 0.5});
  for (int i = 0; i < 5; ++i) {
    scheduler.step();
  }
  EXPECT_EQ(scheduler.lrs(), (std::vector<double>{0.5, 0.25}));
}

TEST(Schedule, PlateauWaitsReducesAndRests) {
  LRScheduler scheduler({"reduce_lr_on_plateau", 0, 0, {{"factor", 0.5}, {"patience", 1}, {"cooldown", 2}, {"min_lr", 0.2}}}, {1.0});
  EXPECT_TRUE(scheduler.wants_metric());
  std::vector<double> got;
  for (const double metric : {5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0}) {
    scheduler.step();  // no effect
    scheduler.step(metric);
    got.push_back(scheduler.lrs().front());
  }
  // Two evaluations that are no better halve it; the two after that do not count.
  EXPECT_EQ(got, (std::vector<double>{1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2}));
  LRScheduler up({"reduce_lr_on_plateau", 0, 0, {{"greater", 1}, {"patience", 0}}}, {1.0});
  up.step(0.5);
  up.step(0.6);
  EXPECT_DOUBLE_EQ(up.lrs().front(), 1);
  up.step(0.6);
  EXPECT_DOUBLE_EQ(up.lrs().front(), 0.1);
  LRScheduler relative({"reduce_lr_on_plateau", 0, 0, {{"threshold", 0.1}, {"patience", 0}}}, {1.0});
  relative.step(1.0);
  relative.step(0.95);  // better, but by less than a tenth
  EXPECT_DOUBLE_EQ(relative.lrs().front(), 0.1);
}

TEST(Schedule, StateGoesOnAlike) {
  for (const LRSchedulerOptions& options : {LRSchedulerOptions{"cosine", 3, 40, {}},
                                            {"inverse_sqrt", 5, 0, {}},
                                            {"polynomial", 0, 20, {{"power", 3}}},
                                            {"reduce_lr_on_plateau", 0, 0, {{"patience", 2}, {"cooldown", 1}, {"factor", 0.3}}}}) {
    LRScheduler whole(options, {kPeak, 1e-4});
    const auto advance = [](LRScheduler& s, int i) {
      s.step();
      if (s.wants_metric()) {
        s.step(1 + 0.01 * (i % 3));
      }
    };
    for (int i = 0; i < 30; ++i) {
      LRScheduler other(options, {kPeak, 1e-4});
      other.load_state(whole.state());
      EXPECT_EQ(other.lrs(), whole.lrs()) << options.type << i;
      advance(whole, i);
      advance(other, i);
      EXPECT_EQ(other.lrs(), whole.lrs()) << options.type << i;
      EXPECT_EQ(other.state(), whole.state());
    }
  }
}

TEST(Schedule, SaysWhatIsWrong) {
  EXPECT_TRUE(throws([] { LRScheduler({"step", 0, 1, {}}, {1.0}); }, "[LRScheduler] type: got 'step', expected one of constant"));
  EXPECT_TRUE(throws([] { LRScheduler({"linear", 0, 1, {{"power", 2}}}, {1.0}); }, "linear has no argument 'power'; its arguments: none"));
  EXPECT_TRUE(
      throws([] { LRScheduler({"cosine", 0, 1, {{"power", 2}}}, {1.0}); }, "cosine has no argument 'power'; its arguments: num_cycles"));
  EXPECT_TRUE(throws([] { LRScheduler({"linear", -1, 1, {}}, {1.0}); }, "got -1 warm-up steps and 1 training steps, expected 0 or more"));
  EXPECT_TRUE(throws([] { LRScheduler({"polynomial", 0, 1, {}}, {0.0}); }, "polynomial: lr_end 1e-07 must be below the learning rate 0"));
  EXPECT_TRUE(
      throws([] { LRScheduler({"reduce_lr_on_plateau", 0, 1, {{"factor", 1}}}, {1.0}); }, "got factor 1, expected a number below 1"));
  LRScheduler linear({"linear", 0, 10, {}}, {1.0});
  EXPECT_TRUE(throws([&] { linear.step(0.5); }, "[LRScheduler] linear takes no metric"));
  EXPECT_TRUE(throws([&] { linear.load_state(LRScheduler({"cosine", 0, 10, {}}, {1.0}).state()); },
                     "the state is of a schedule 'cosine', expected 'linear'"));
  EXPECT_TRUE(
      throws([&] { linear.load_state(LRScheduler({"linear", 0, 10, {}}, {1.0, 2.0}).state()); }, "the state has 2 groups, expected 1"));
  EXPECT_TRUE(throws([&] { linear.load_state("{"); }, "[LRScheduler] state is no valid JSON"));
  EXPECT_TRUE(throws([&] { linear.load_state("[]"); }, "[LRScheduler] the state is no JSON object"));
  EXPECT_TRUE(throws([&] { linear.load_state(R"({"type": "linear"})"); }, "[LRScheduler] the state has no '_last_lr'"));
  EXPECT_TRUE(throws([&] { linear.load_state(R"({"type": 1})"); }, "[LRScheduler] the state: type: got 1, expected a text"));
  EXPECT_TRUE(throws([&] { linear.load_state(R"({"type": "linear", "_last_lr": [1], "last_epoch": "x"})"); },
                     "[LRScheduler] the state: last_epoch: got \"x\", expected a whole number"));
}

}  // namespace
