#include "csrc/kernels/resample.h"

#include "test/cpp/kernels/call_builder.h"

namespace torch_hpu {
namespace {

using kernels::Primitive;
using kernels::ResampleMode;
using testing::CallBuilder;
using testing::expect_close;
using testing::tolerance_of;

std::vector<int64_t> ints(int64_t n, ResampleMode mode, bool backward, bool align_corners) {
  return {n, static_cast<int64_t>(mode), backward, align_corners};
}

TEST(Resample, BilinearAndBicubicMatchAten) {
  for (auto dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (bool align_corners : {false, true}) {
      for (auto size : {std::array<int64_t, 2>{9, 4}, std::array<int64_t, 2>{3, 11}}) {
        const at::Tensor in = at::randn({2, 3, 5, 7}, dtype), out = at::empty({2, 3, size[0], size[1]}, dtype);
        CallBuilder(Primitive::kResample)
            .read(in)
            .write(out)
            .ints(ints(2, ResampleMode::kLinear, false, align_corners))
            .floats({0, 0})
            .run();
        expect_close(out, at::upsample_bilinear2d(in.to(at::kDouble), size, align_corners), tolerance_of(dtype) * 4);
        CallBuilder(Primitive::kResample)
            .read(in)
            .write(out)
            .ints(ints(2, ResampleMode::kCubic, false, align_corners))
            .floats({0, 0})
            .run();
        expect_close(out, at::upsample_bicubic2d(in.to(at::kDouble), size, align_corners), tolerance_of(dtype) * 4);
      }
    }
  }
}

TEST(Resample, ChannelsLastIsTheSame) {
  const at::Tensor in = at::randn({2, 5, 4, 6}), plain = at::empty({2, 5, 7, 9});
  const at::Tensor last = at::empty({2, 5, 7, 9}).contiguous(at::MemoryFormat::ChannelsLast);
  for (const at::Tensor& out : {plain, last}) {
    CallBuilder(Primitive::kResample)
        .read(out.is_contiguous() ? in : in.contiguous(at::MemoryFormat::ChannelsLast))
        .write(out)
        .ints(ints(2, ResampleMode::kLinear, false, false))
        .floats({0, 0})
        .run();
  }
  EXPECT_TRUE(at::equal(plain, last));
}

// <out, A in> = <transposed A out, in> for every mode, and every element of the source that nothing depends on gets 0.
TEST(Resample, GradientIsTheTransposedMap) {
  for (auto mode : {ResampleMode::kNearest, ResampleMode::kNearestExact, ResampleMode::kLinear, ResampleMode::kCubic,
                    ResampleMode::kLinearAntialias, ResampleMode::kCubicAntialias}) {
    for (int64_t to : {3, 8, 13}) {
      const at::Tensor in = at::randn({1, 2, 8, 9}, at::kDouble), out = at::empty({1, 2, to, 4}, at::kDouble);
      const at::Tensor grad = at::randn({1, 2, to, 4}, at::kDouble), grad_in = at::empty({1, 2, 8, 9}, at::kDouble);
      CallBuilder(Primitive::kResample).read(in).write(out).ints(ints(2, mode, false, false)).floats({0, 0}).run();
      CallBuilder(Primitive::kResample).read(grad).write(grad_in).ints(ints(2, mode, true, false)).floats({0, 0}).run();
      EXPECT_NEAR((out * grad).sum().item<double>(), (in * grad_in).sum().item<double>(), 1e-9);
    }
  }
}

TEST(Resample, WeightsSumToOne) {
  for (auto mode : {ResampleMode::kLinear, ResampleMode::kCubic, ResampleMode::kLinearAntialias, ResampleMode::kCubicAntialias}) {
    const auto taps = kernels::resampling_taps<double>(mode, 7, 17, false, 0);
    for (size_t o = 0; o < 17; ++o) {
      double sum = 0;
      for (int64_t k = taps.first[o]; k < taps.first[o + 1]; ++k) {
        sum += taps.weight[static_cast<size_t>(k)];
      }
      EXPECT_NEAR(sum, 1, 1e-12);
    }
  }
}

}  // namespace
}  // namespace torch_hpu
