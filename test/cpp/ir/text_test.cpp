// Text, parser and verifier of graphs; the relation of windows; the registry of ops.
#include <gtest/gtest.h>

#include "csrc/ir/op_registry.h"
#include "csrc/ir/relation.h"
#include "csrc/ir/text.h"
#include "csrc/ir/verify.h"

namespace torch_hpu::ir {
namespace {

const char* const kText = R"(buffer b0 96 input
buffer b1 24 input written
buffer b2 96 local written
buffer b3 96 local observable written
scalar s0 float 2.5
scalar s1 int 1
scalar s2 bool true
scalar s3 int 42
scalar s4 int 0
window w0 b0 Float [4, 6] [6, 1] @0
window w1 b1 Float [6] [1] @0
window w2 b2 Float [4, 6] [6, 1] @0
window w3 b3 Float [4, 6] [1, 4] @0
node aten::add.Tensor (w0, s0:Double!, s1) -> (w2)
node aten::mul.Tensor (w1, s0:Float) -> (w1)
node aten::clone (w2, none) -> (w3) recomputed
node aten::uniform (w3, s0, s1, none) -> (w3) rng s3
node aten::gelu (w0, "tanh") -> (w2)
node aten::sum.dim_IntList (w0, i[1], false, none) -> (w1)
)";

TEST(Text, RoundTrip) {
  const Graph g = parse(kText);
  EXPECT_EQ(g.nodes.size(), 6);
  EXPECT_EQ(to_string(g), kText);
  EXPECT_EQ(to_string(parse(to_string(g))), kText);
  verify(g);
  EXPECT_NE(to_dot(g).find("aten::gelu"), std::string::npos);
}

TEST(Text, StructureIsAGraphWithoutScalars) {
  const Graph g = parse(kText);
  const Graph again = parse(structure_of(g));
  EXPECT_EQ(structure_of(again), structure_of(g));
  EXPECT_EQ(again.scalars[0].category, ScalarCategory::kFloat);
  EXPECT_EQ(again.scalars[0].value.d, 0);
  EXPECT_EQ(again.scalars[3].value.i, 0);
  verify(again);
}

TEST(Text, NoneForStringsThatWouldNotBeReadBack) {
  for (const char* text : {"a\"b", "a\nb"}) {
    Graph g = parse(kText);
    g.nodes[4].args[1].value = c10::IValue(text);
    EXPECT_THROW(structure_of(g), c10::NotImplementedError);
  }
}

TEST(Text, ErrorsNameTheLine) {
  for (const char* text : {"buffer b1 4 input", "buffer b0 x input", "node aten::no_such_op () -> ()", "window w0 b0 Float [2 [1] @0",
                           "window w0 b0 Flote [2] [1] @0", "nonsense", "buffer b0 4 input trailing"}) {
    try {
      parse(std::string("\n") + text);
      ADD_FAILURE() << "no error for: " << text;
    } catch (const c10::Error& error) {
      EXPECT_NE(std::string(error.what()).find("line 2"), std::string::npos) << error.what();
    }
  }
}

TEST(Verify, CatchesWhatIsWrong) {
  verify(parse(kText));
  auto broken = [](auto change) {
    Graph g = parse(kText);
    change(g);
    EXPECT_THROW(verify(g), c10::Error);
  };
  broken([](Graph& g) { g.windows[0].offset = 1; });  // past the end
  broken([](Graph& g) { g.windows[0].buffer = 9; });
  broken([](Graph& g) { g.nodes[0].args.pop_back(); });
  broken([](Graph& g) { g.nodes[0].writes.clear(); });
  broken([](Graph& g) { g.nodes[0].args[0].index = 99; });
  broken([](Graph& g) { g.buffers[2].written = false; });
  broken([](Graph& g) { g.nodes[3].rng = 8; });
  broken([](Graph& g) { std::swap(g.nodes[0], g.nodes[2]); });  // a local read before it is written
}

Window window(int64_t offset, DimVector sizes, DimVector strides) {
  Window w;
  w.buffer = 0;
  w.offset = offset;
  w.sizes = std::move(sizes);
  w.strides = std::move(strides);
  return w;
}

TEST(Relation, OfWindows) {
  const Window all = window(0, {4, 6}, {6, 1});
  EXPECT_EQ(relation(all, all), Relation::kEqual);
  EXPECT_EQ(relation(all, window(7, {2}, {1})), Relation::kOverlapping);
  EXPECT_EQ(relation(window(0, {4, 3}, {6, 1}), window(3, {4, 3}, {6, 1})), Relation::kDisjoint);  // interleaved columns
  EXPECT_EQ(relation(window(0, {4, 4}, {6, 1}), window(3, {4, 3}, {6, 1})), Relation::kOverlapping);
  EXPECT_EQ(relation(window(0, {12}, {1}), window(12, {12}, {1})), Relation::kDisjoint);
  EXPECT_EQ(relation(window(0, {12}, {2}), window(1, {12}, {2})), Relation::kDisjoint);  // even and odd
  EXPECT_EQ(relation(window(0, {0}, {1}), all), Relation::kDisjoint);
}

// Exhaustive: a claim of disjointness must be true.
TEST(Relation, DisjointIsProved) {
  std::vector<Window> windows;
  for (int64_t offset : {0, 1, 2, 5, 6}) {
    for (int64_t rows : {1, 2, 3}) {
      for (int64_t columns : {1, 2, 4}) {
        for (int64_t step : {1, 2, 3}) {
          windows.push_back(window(offset, {rows, columns}, {6, step}));
        }
      }
    }
  }
  auto addresses = [](const Window& w) {
    std::set<int64_t> all;
    for (int64_t i = 0; i < w.sizes[0]; ++i) {
      for (int64_t j = 0; j < w.sizes[1]; ++j) {
        all.insert(w.offset + i * w.strides[0] + j * w.strides[1]);
      }
    }
    return all;
  };
  for (const Window& a : windows) {
    const auto in_a = addresses(a);
    for (const Window& b : windows) {
      if (relation(a, b) == Relation::kDisjoint) {
        for (int64_t address : addresses(b)) {
          ASSERT_EQ(in_a.count(address), 0);
        }
      }
    }
  }
}

TEST(Registry, KnowsForms) {
  const OpInfo* add_ = find_op("aten::add_.Tensor");
  ASSERT_NE(add_, nullptr);
  ASSERT_NE(add_->functional, nullptr);
  EXPECT_EQ(add_->functional->name, "aten::add.Tensor");
  EXPECT_EQ(find_op("aten::add.out")->functional, add_->functional);
  EXPECT_TRUE(add_->functional->out_variant.has_value());
  EXPECT_EQ(find_op("aten::relu_")->functional->name, "aten::relu");
  EXPECT_EQ(find_op("aten::normal_")->functional->name, "aten::normal_functional");
  EXPECT_EQ(find_op("aten::nonzero")->op_class, OpClass::kBreaking);
  EXPECT_EQ(find_op("aten::native_batch_norm")->mutated.size(), 2);  // hidden by the schema
  EXPECT_EQ(find_op("aten::native_batch_norm")->mutates_if, 5);
  EXPECT_TRUE(find_op("aten::fill.Scalar")->ignores_self);
  EXPECT_EQ(find_op("aten::no_such_op"), nullptr);
}

}  // namespace
}  // namespace torch_hpu::ir
