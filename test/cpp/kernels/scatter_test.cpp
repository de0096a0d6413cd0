#include <ATen/Parallel.h>

#include "test/cpp/kernels/call_builder.h"

namespace torch_hpu {
namespace {

using kernels::Primitive;
using testing::CallBuilder;
using testing::expect_close;
using testing::tolerance_of;

TEST(EmbeddingBackward, SumsInOrderSkipsPaddingScales) {
  for (auto dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (auto index_type : {at::kLong, at::kInt}) {
      const at::Tensor index = at::randint(0, 10, {4, 50}).to(index_type), grad = at::randn({4, 50, 33}).to(dtype);
      for (int64_t padding : {-1, 3}) {
        for (bool scale : {false, true}) {
          const at::Tensor out = at::empty({12, 33}, dtype);
          CallBuilder(Primitive::kEmbeddingBackward).read(grad).read(index).write(out).ints({padding, scale}).run();
          expect_close(out, at::embedding_dense_backward(grad.to(at::kDouble), index, 12, padding, scale), tolerance_of(dtype) * 4);
        }
      }
    }
  }
}

TEST(EmbeddingBackward, StridedOperandsAndErrors) {
  const at::Tensor index = at::randint(0, 5, {6, 4}).t(), grad = at::randn({8, 6, 4}).permute({2, 1, 0}),
                   out = at::empty({16, 5}).t().slice(1, 0, 16, 2);
  CallBuilder(Primitive::kEmbeddingBackward).read(grad).read(index).write(out).ints({-1, 0}).run();
  expect_close(out, at::embedding_dense_backward(grad.contiguous(), index.contiguous(), 5, -1, false), 1e-5);
  CallBuilder bad(Primitive::kEmbeddingBackward);
  bad.read(at::randn({1, 2})).read(at::full({1}, 7, at::kLong)).write(at::empty({3, 2})).ints({-1, 0});
  EXPECT_THROW(bad.run(), c10::IndexError);
  const at::Tensor none = at::empty({3, 2});
  CallBuilder(Primitive::kEmbeddingBackward).read(at::empty({0, 2})).read(at::empty({0}, at::kLong)).write(none).ints({-1, 0}).run();
  EXPECT_TRUE(at::equal(none, at::zeros({3, 2})));
}

// Along every dim, with an index smaller than the source, by every op and against ATen in double.
TEST(Scatter, MatchesAten) {
  const std::pair<kernels::ScatterOp, const char*> ops[] = {{kernels::ScatterOp::kAdd, "sum"},
                                                            {kernels::ScatterOp::kMul, "prod"},
                                                            {kernels::ScatterOp::kMin, "amin"},
                                                            {kernels::ScatterOp::kMax, "amax"},
                                                            {kernels::ScatterOp::kMean, "mean"}};
  for (auto dtype : {at::kFloat, at::kBFloat16, at::kLong}) {
    for (int64_t dim : {0, 1, 2}) {
      for (auto [op, name] : ops) {
        for (bool include_self : {true, false}) {
          const at::Tensor base = at::randint(-5, 5, {5, 6, 40}).to(dtype), src = at::randint(-5, 5, {5, 6, 40}).to(dtype);
          const at::Tensor index = at::randint(0, base.size(dim), {4, 5, 33}), out = base.clone();
          CallBuilder(Primitive::kScatter).read(index).read(src).write(out).ints({dim, static_cast<int64_t>(op), include_self, 0}).run();
          const auto wide = dtype == at::kLong ? at::kLong : at::kDouble;
          expect_close(out, base.to(wide).scatter_reduce(dim, index, src.to(wide), name, include_self), tolerance_of(dtype), name);
        }
      }
    }
  }
}

TEST(Scatter, SetsInOrderWrapsWhenAskedAndNamesBadIndices) {
  const auto set = static_cast<int64_t>(kernels::ScatterOp::kSet);
  const at::Tensor out = at::zeros({3});
  CallBuilder(Primitive::kScatter)
      .read(at::tensor({2, 2, -3}, at::kInt))
      .read(at::tensor({1.f, 2.f, 3.f}))
      .write(out)
      .ints({0, set, 1, 1})
      .run();
  EXPECT_TRUE(at::equal(out, at::tensor({3.f, 0.f, 2.f})));
  for (int64_t index : {3, -1}) {
    CallBuilder bad(Primitive::kScatter);
    bad.read(at::full({1}, index, at::kLong)).read(at::ones({1})).write(at::zeros({3})).ints({0, set, 1, 0});
    try {
      bad.run();
      FAIL() << "no error";
    } catch (const c10::IndexError& error) {
      EXPECT_NE(std::string(error.what()).find("index " + std::to_string(index) + " is out of bounds for dimension 0 with size 3"),
                std::string::npos)
          << error.what();
    }
  }
}

TEST(IndexPut, PlacesValuesAsAten) {
  const at::Tensor i = at::randint(-4, 4, {3}), j = at::randint(0, 5, {2, 1}), k = at::randint(0, 6, {2, 3});
  struct Case {
    std::vector<at::Tensor> indices;
    std::vector<int64_t> values;
  };
  const Case cases[] = {
      {{i}, {3, 5, 6}},        {{i}, {}},           {{{}, j}, {4, 2, 1, 6}}, {{{}, {}, k}, {4, 5, 2, 3}}, {{i, j}, {2, 3, 6}},
      {{i, {}, k}, {2, 3, 5}},  // the indexed dims are apart: their shape comes first
      {{{}, j, k}, {1}},       {{i, j, k}, {2, 3}},
  };
  for (const Case& c : cases) {
    for (bool accumulate : {true, false}) {
      const at::Tensor base = at::randn({4, 5, 6}, at::kDouble), values = at::randn(c.values, at::kDouble);
      c10::List<std::optional<at::Tensor>> list;
      for (const at::Tensor& t : c.indices) {
        list.push_back(t.defined() ? std::optional<at::Tensor>(t) : std::nullopt);
      }
      const at::Tensor out = base.clone();
      CallBuilder builder(Primitive::kIndexPut);
      builder.read(values);
      for (const at::Tensor& t : c.indices) {
        builder.read(t);
      }
      builder.write(out).ints({accumulate}).run();
      expect_close(out, base.index_put(list, values, accumulate), 1e-12, kernels::to_string(builder.call()));
    }
  }
}

TEST(IndexPut, DeclinesMasksAndRefusesBadIndices) {
  CallBuilder mask(Primitive::kIndexPut);
  mask.read(at::ones({1})).read(at::ones({3}, at::kBool)).write(at::zeros({3})).ints({0});
  EXPECT_FALSE(mask.supported());
  CallBuilder bad(Primitive::kIndexPut);
  bad.read(at::ones({1})).read(at::full({1}, -4, at::kLong)).write(at::zeros({3})).ints({0});
  EXPECT_THROW(bad.run(), c10::IndexError);
}

}  // namespace
}  // namespace torch_hpu
