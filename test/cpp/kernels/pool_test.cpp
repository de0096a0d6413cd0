#include "test/cpp/kernels/call_builder.h"

namespace torch_hpu {
namespace {

using kernels::Primitive;
using testing::CallBuilder;
using testing::expect_close;
using testing::tolerance_of;

struct Case {
  std::vector<int64_t> x, kernel, stride, padding, dilation;
  bool ceil_mode;
};

const Case kCases[] = {
    {{2, 3, 9, 8}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, false},
    {{2, 3, 9, 8}, {3, 2}, {2, 2}, {1, 0}, {1, 1}, true},
    {{3, 10, 10}, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false},  // no batch
    {{1, 40, 12, 11}, {3, 3}, {1, 2}, {1, 1}, {2, 2}, false},
};

std::vector<int64_t> ints_of(const Case& c, bool dilation, std::vector<int64_t> tail) {
  std::vector<int64_t> v{2};
  for (const auto* list : {&c.kernel, &c.stride, &c.padding}) {
    v.insert(v.end(), list->begin(), list->end());
  }
  if (dilation) {
    v.insert(v.end(), c.dilation.begin(), c.dilation.end());
  }
  v.insert(v.end(), tail.begin(), tail.end());
  return v;
}

at::Tensor empty_like_layout(const at::Tensor& shape, const at::Tensor& layout, c10::ScalarType dtype) {
  at::Tensor t = at::empty(shape.sizes(), dtype);
  const bool last = layout.dim() == 4 && layout.is_contiguous(at::MemoryFormat::ChannelsLast) && !layout.is_contiguous();
  return last ? t.contiguous(at::MemoryFormat::ChannelsLast) : t;
}

template <typename F>
void each_input(F f) {
  for (const Case& c : kCases) {
    for (auto dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
      const at::Tensor x = at::randn(c.x).to(dtype);
      f(c, x);
      if (x.dim() == 4) {
        f(c, x.contiguous(at::MemoryFormat::ChannelsLast));
      }
    }
  }
}

TEST(Pool, MaxForwardBackward) {
  each_input([](const Case& c, at::Tensor x) {
    x.select(-1, 3).select(-1, 2).fill_(NAN);
    const auto [expected, where] = at::max_pool2d_with_indices(x, c.kernel, c.stride, c.padding, c.dilation, c.ceil_mode);
    const at::Tensor out = empty_like_layout(expected, x, x.scalar_type()), indices = empty_like_layout(expected, x, at::kLong);
    CallBuilder(Primitive::kMaxPool).read(x).write(out).write(indices).ints(ints_of(c, true, {c.ceil_mode})).run();
    expect_close(out, expected, 0);
    EXPECT_TRUE(at::equal(indices, where));
    CallBuilder(Primitive::kMaxPool).read(x).write(out.zero_()).write({}).ints(ints_of(c, true, {c.ceil_mode})).run();
    expect_close(out, expected, 0, "without places");
    const at::Tensor g = at::randn(expected.sizes()).to(x.scalar_type()), gx = at::empty_like(x);
    CallBuilder(Primitive::kMaxPoolBackward).read(g).read(indices).write(gx).ints(ints_of(c, true, {c.ceil_mode})).run();
    const at::Tensor expected_g = at::max_pool2d_with_indices_backward(g.to(at::kDouble), x.to(at::kDouble), c.kernel, c.stride, c.padding,
                                                                       c.dilation, c.ceil_mode, where.contiguous());
    expect_close(gx, expected_g, tolerance_of(x.scalar_type()));
  });
}

TEST(Pool, AverageForwardBackward) {
  each_input([](const Case& c, const at::Tensor& x) {
    for (bool include : {true, false}) {
      for (int64_t divisor : {0, 5}) {
        const auto override = divisor == 0 ? std::nullopt : std::optional<int64_t>(divisor);
        const at::Tensor expected = at::avg_pool2d(x.to(at::kDouble), c.kernel, c.stride, c.padding, c.ceil_mode, include, override);
        const at::Tensor out = empty_like_layout(expected, x, x.scalar_type());
        const auto ints = ints_of(c, false, {c.ceil_mode, include, divisor});
        CallBuilder(Primitive::kAvgPool).read(x).write(out).ints(ints).run();
        expect_close(out, expected, tolerance_of(x.scalar_type()));
        const at::Tensor g = at::randn(expected.sizes()).to(x.scalar_type()), gx = at::empty_like(x);
        CallBuilder(Primitive::kAvgPoolBackward).read(g).write(gx).ints(ints).run();
        expect_close(gx,
                     at::avg_pool2d_backward(g.to(at::kDouble), x.to(at::kDouble).contiguous(), c.kernel, c.stride, c.padding, c.ceil_mode,
                                             include, override),
                     tolerance_of(x.scalar_type()));
      }
    }
  });
}

TEST(Pool, AdaptiveForwardBackward) {
  each_input([](const Case&, const at::Tensor& x) {
    for (const auto& size : {std::vector<int64_t>{1, 1}, {3, 5}, {20, 4}}) {
      const at::Tensor expected = at::_adaptive_avg_pool2d(x.to(at::kDouble), size);
      const at::Tensor out = empty_like_layout(expected, x, x.scalar_type());
      CallBuilder(Primitive::kAdaptiveAvgPool).read(x).write(out).ints({2}).run();
      expect_close(out, expected, tolerance_of(x.scalar_type()));
      const at::Tensor g = at::randn(expected.sizes()).to(x.scalar_type()), gx = at::empty_like(x);
      CallBuilder(Primitive::kAdaptiveAvgPoolBackward).read(g).write(gx).ints({2}).run();
      expect_close(gx, at::_adaptive_avg_pool2d_backward(g.to(at::kDouble), x.to(at::kDouble).contiguous()), tolerance_of(x.scalar_type()));
    }
  });
}

TEST(Pool, OneAndThreeDims) {
  const at::Tensor x = at::randn({2, 3, 6, 7, 5});
  const auto [expected, where] = at::max_pool3d_with_indices(x, {2, 3, 2}, {2, 1, 2}, {1, 1, 0});
  const at::Tensor out = at::empty_like(expected), indices = at::empty_like(where);
  CallBuilder(Primitive::kMaxPool).read(x).write(out).write(indices).ints({3, 2, 3, 2, 2, 1, 2, 1, 1, 0, 1, 1, 1, 0}).run();
  expect_close(out, expected, 0);
  EXPECT_TRUE(at::equal(indices, where));
  const at::Tensor line = at::randn({4, 11}), pooled = at::avg_pool1d(line, {3}, {2}, {1}), got = at::empty_like(pooled);
  CallBuilder(Primitive::kAvgPool).read(line).write(got).ints({1, 3, 2, 1, 0, 1, 0}).run();
  expect_close(got, pooled, 1e-6);
}

}  // namespace
}  // namespace torch_hpu
