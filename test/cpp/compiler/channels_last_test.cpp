// Which temporaries change their layout, and that values stay right when they do.
#include "csrc/compiler/passes/channels_last.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "test/cpp/compiler/recorder.h"

namespace torch_hpu {
namespace {

using at::Tensor;
using testing::check;
using testing::Recorder;

Tensor convolution(Recorder& r, const Tensor& x, int64_t out, int64_t kernel) {
  const std::vector<int64_t> one{1, 1}, padding{kernel / 2, kernel / 2}, zero{0, 0};
  return r.op("convolution",
              {x, at::randn({out, x.size(1), kernel, kernel}) * 0.2, at::randn({out}), one, padding, one, false, zero, int64_t{1}});
}

// Of the convolutions of the optimized program, in order: whether input and output lie channels-last.
std::vector<std::pair<bool, bool>> layouts(Recorder& r) {
  std::vector<std::pair<bool, bool>> result;
  const auto channels_last = [](const kernels::Operand& o) { return o.strides[1] == 1 && o.strides[3] == o.sizes[1]; };
  const compiler::Program program = testing::optimize(r.graph());
  for (const compiler::Item& item : program.items) {
    if (item.kind == compiler::Item::Kind::kLibrary && item.call.primitive == kernels::Primitive::kConvolution) {
      result.emplace_back(channels_last(item.call.reads[0]), channels_last(item.call.writes[0]));
    }
  }
  return result;
}

using Layouts = std::vector<std::pair<bool, bool>>;

TEST(ChannelsLast, BetweenConvolutionsAndPools) {
  Recorder r;
  const Tensor x = at::randn({2, 3, 10, 10});
  const Tensor y = r.op("relu", {convolution(r, x, 8, 3)}), z = r.op("add.Tensor", {y, convolution(r, y, 8, 1)});
  const std::vector<int64_t> two{2, 2}, zero{0, 0}, one{1, 1};
  const Tensor pooled = r.op("max_pool2d_with_indices", {r.op("tanh", {z}), two, two, zero, one, false});
  r.observe(convolution(r, pooled, 6, 3));
  EXPECT_EQ(layouts(r), (Layouts{{false, true}, {true, true}, {true, false}}));
  check(r);
}

TEST(ChannelsLast, NotWhatIsObserved) {
  Recorder r;
  const Tensor y = convolution(r, at::randn({1, 4, 6, 6}), 8, 3), z = r.op("relu", {y});
  r.observe(z);
  r.observe(convolution(r, z, 8, 3));
  EXPECT_EQ(layouts(r), (Layouts{{false, false}, {false, false}}));
  check(r);
}

TEST(ChannelsLast, NotWhatAReductionReads) {
  Recorder r;
  const Tensor y = convolution(r, at::randn({2, 4, 6, 6}), 8, 3);
  const Tensor norm =
      r.call("native_group_norm", {y, at::randn({8}), at::randn({8}), int64_t{2}, int64_t{8}, int64_t{36}, int64_t{4}, 1e-5})[0];
  r.observe(convolution(r, r.op("silu", {norm}), 8, 3));
  EXPECT_EQ(layouts(r), (Layouts{{false, false}, {true, false}}));  // y stays, what the norm makes does not
  check(r);
}

TEST(ChannelsLast, WindowsOfATemporary) {
  Recorder r;
  const Tensor y = convolution(r, at::randn({2, 4, 6, 6}), 8, 3);
  r.observe(convolution(r, r.op("relu", {y.slice(1, 0, 4)}), 8, 3));  // a part: stays
  const Tensor z = convolution(r, at::randn({2, 4, 6, 6}), 8, 3);
  r.observe(convolution(r, r.op("relu", {z.transpose(2, 3)}), 8, 3));  // all of it, in another order
  check(r);
}

}  // namespace
}  // namespace torch_hpu
