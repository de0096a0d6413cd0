// What nobody can see is not computed; what somebody can see stays.
#include "csrc/compiler/passes/dead_code.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "csrc/compiler/lower.h"
#include "csrc/compiler/passes/unit_reductions.h"
#include "test/cpp/compiler/recorder.h"

namespace torch_hpu {
namespace {

using at::Tensor;
using testing::check;
using testing::Counts;
using testing::Recorder;

TEST(DeadCode, UnreadLocalsGoWithAllThatFedThem) {
  Recorder r;
  const Tensor x = at::randn({4, 6});
  const Tensor unused = r.op("exp", {r.op("cumsum", {x, 1})});  // cumsum has no lowering: an extern node
  const Tensor used = r.op("neg", {x});
  r.observe(used);
  compiler::Program program = compiler::lower(r.graph());
  ASSERT_EQ(program.items.size(), 3);
  compiler::remove_dead_code(program);
  EXPECT_EQ(testing::counts(program), (Counts{1, 0, 0}));
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST(DeadCode, AnOverwriteNobodyReadsGoesItsReadPredecessorStays) {
  Recorder r;
  const Tensor t = r.op("exp", {at::randn({8})});
  const Tensor seen = r.op("neg", {t});
  r.into(t, "mul.Scalar", {t, 2.0});
  r.observe(seen);
  compiler::Program program = compiler::lower(r.graph());
  compiler::remove_dead_code(program);
  EXPECT_EQ(program.items.size(), 2);
  check(r);
}

TEST(DeadCode, WritesToInputsStay) {
  Recorder r;
  const Tensor x = at::randn({8});
  r.into(x, "mul.Scalar", {x, 2.0});
  EXPECT_EQ(check(r), (Counts{1, 0, 0}));
}

TEST(DeadCode, AnUnwantedResultOfALibraryCallIsLeftOut) {
  const std::vector<int64_t> two{2, 2}, one{1, 1}, zero{0, 0};
  for (const size_t seen : {0, 1}) {
    Recorder r;
    const Tensor x = at::randn({2, 3, 8, 8});
    const auto returns = r.call("max_pool2d_with_indices", {x, two, two, zero, one, false});
    r.observe(returns[seen]);
    compiler::Program program = compiler::lower(r.graph());
    compiler::remove_dead_code(program);
    ASSERT_EQ(testing::counts(program), (Counts{0, 1, 0}));
    EXPECT_NE(program.items[0].call.writes[0].buffer, ir::kNone);
    EXPECT_EQ(program.items[0].call.writes[1].buffer == ir::kNone, seen == 0);
    check(r);
  }
}

TEST(DeadCode, AnUnwantedReturnIsNotStored) {
  Recorder r;
  const Tensor x = at::randn({5, 9});
  const auto returns = r.call("max.dim", {x, 1, false});
  r.observe(returns[1]);
  compiler::Program program = compiler::lower(r.graph());
  compiler::remove_dead_code(program);
  ASSERT_EQ(program.items.size(), 1);
  EXPECT_EQ(program.items[0].loop.stores.size(), 1);
  check(r);
}

TEST(UnitReductions, BecomePointwise) {
  Recorder r;
  const Tensor x = at::randn({5, 1, 3});
  r.observe(r.op("amax", {x, std::vector<int64_t>{1}, false}));
  r.observe(r.op("argmin", {x, 1, true}));
  compiler::Program program = compiler::lower(r.graph());
  compiler::drop_unit_reductions(program);
  for (const compiler::Item& item : program.items) {
    EXPECT_EQ(item.loop.kept, item.loop.sizes.size());
    for (const codegen::Expr& e : item.loop.exprs) {
      EXPECT_LT(e.op, codegen::Op::kReduceSum);
    }
  }
  check(r);
}

}  // namespace
}  // namespace torch_hpu
