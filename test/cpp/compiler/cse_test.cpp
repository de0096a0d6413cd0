// Which nodes are shared; golden/cse_*.txt shows how.
#include "csrc/compiler/passes/cse.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "test/cpp/compiler/recorder.h"

namespace torch_hpu {
namespace {

using at::Tensor;
using testing::check;
using testing::Counts;
using testing::Recorder;

size_t nodes_left(Recorder& r) {
  ir::Graph graph = r.graph();
  compiler::share_equal_nodes(graph);
  return graph.nodes.size();
}

TEST(Cse, LibraryCallsAndLoopsAndExternNodes) {
  Recorder r;
  const Tensor x = at::randn({8, 8});
  for (int i = 0; i < 2; ++i) {
    r.observe(r.op("add.Tensor", {r.op("mm", {x, x}), r.op("cumsum", {r.op("_softmax", {x, 1, false}), 0}), i + 1}));
  }
  EXPECT_EQ(nodes_left(r), 5);           // the additions differ in alpha
  EXPECT_EQ(check(r).library_calls, 2);  // the product and the scan
}

TEST(Cse, ConstantsAndGeometryMustAgree) {
  Recorder r;
  const Tensor x = at::randn({6, 6});
  r.observe(r.op("mm", {r.op("_softmax", {x, 0, false}), r.op("_softmax", {x, 1, false})}));
  r.observe(r.op("mm", {r.op("exp", {x}), r.op("exp", {x.t()})}));
  EXPECT_EQ(nodes_left(r), 6);
  check(r);
}

TEST(Cse, RunTimeScalarsOfOneValueAreStillTwo) {
  Recorder r;
  const Tensor x = at::randn({6});
  r.observe(r.op("add.Tensor", {r.op("mul.Scalar", {x, 2.0}), r.op("mul.Scalar", {x, 2.0}), 1}));
  EXPECT_EQ(nodes_left(r), 3);
}

TEST(Cse, WritesThroughViewsAreSeen) {
  Recorder r;
  const Tensor x = at::randn({4, 4});
  const Tensor a = r.op("exp", {x});
  r.into(x[1], "neg", {x[2]});
  const Tensor b = r.op("exp", {x});
  r.observe(r.op("sub.Tensor", {a, b, 1}));
  EXPECT_EQ(nodes_left(r), 4);
  check(r);
}

TEST(Cse, TheFirstResultIsOverwrittenBeforeTheSecondIsRead) {
  Recorder r;
  const Tensor x = at::randn({5});
  const Tensor a = r.op("exp", {x}), b = r.op("exp", {x});
  r.into(a, "neg", {a});
  r.observe(r.op("sub.Tensor", {a, b, 1}));
  EXPECT_EQ(nodes_left(r), 4);
  check(r);
}

TEST(Cse, AnObservableResultIsItsOwn) {
  Recorder r;
  const Tensor x = at::randn({5});
  r.observe(r.op("exp", {x}));
  r.observe(r.op("exp", {x}));
  EXPECT_EQ(nodes_left(r), 2);
  check(r);
}

// Where windows of inputs lie is an argument of the run: equal now need not be equal then.
TEST(Cse, PartsOfInputsMove) {
  Recorder r;
  const Tensor x = at::randn({10, 4});
  r.observe(r.op("sub.Tensor", {r.op("exp", {x[3]}), r.op("exp", {x[3]}), 1}));
  EXPECT_EQ(nodes_left(r), 3);
  const auto recipe = compiler::compile(r.graph(), compiler::Tier::kCompiled);
  const auto result = r.run(*recipe, {4, 0, 8, 0, 0, 0, 0});  // windows: x, its exp, x, its exp, both, their difference
  EXPECT_TRUE(at::allclose(result.outputs.back().first, at::exp(x[1]) - at::exp(x[2])));
}

// A result that was needed long ago is computed again instead of being kept.
TEST(Cse, DistanceCostsMemory) {
  for (const int distance : {3, 30}) {
    Recorder r;
    const Tensor x = at::randn({16, 16});
    Tensor y = r.op("mm", {x, x});
    for (int i = 0; i < distance; ++i) {
      y = r.op("sin", {y});
    }
    r.observe(r.op("mm", {r.op("mm", {x, x}), y}));
    EXPECT_EQ(check(r).library_calls, distance == 3 ? 2 : 3);
  }
}

TEST(Cse, ChainsOfEqualNodes) {
  Recorder r;
  const Tensor x = at::randn({8, 8});
  Tensor a = x, b = x;
  for (int i = 0; i < 20; ++i) {
    a = r.op("mm", {a, x});
    b = r.op("mm", {b, x});
  }
  r.observe(r.op("add.Tensor", {a, b, 1}));
  EXPECT_EQ(nodes_left(r), 21);
  check(r, 1e-3);
}

}  // namespace
}  // namespace torch_hpu
