// Upsampling. Nearest is a load from a computed coordinate, which fuses with its neighbours; what mixes pixels is a library call, and so is the
// gradient of nearest, unless the factor is whole.
#include <algorithm>
#include <cmath>

#include "csrc/compiler/library_calls.h"
#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::DimVector;
using kernels::Primitive;
using kernels::ResampleMode;

double scale_of(const LoweringContext& c, size_t arg) {  // 0: the user gave sizes only
  const ir::Arg& a = c.node.args[arg];
  return a.is_none() ? 0 : a.value.toDouble();
}

// `scales`: the first of N arguments.
template <size_t N>
bool lower_resample(LoweringContext& c, ResampleMode mode, bool backward, bool align_corners, size_t scales) {
  if (!plain_windows(c)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kResample);
  builder.call.reads = {builder.argument(0)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype)};
  builder.call.ints = {static_cast<int64_t>(N), static_cast<int64_t>(mode), backward, align_corners};
  for (size_t d = 0; d < N; ++d) {
    builder.call.floats.push_back(scale_of(c, scales + d));
  }
  return builder.commit();
}

template <size_t N, ResampleMode mode>
bool lower_interpolation(LoweringContext& c) {  // (self, output_size, align_corners, scales...)
  return lower_resample<N>(c, mode, false, c.node.args[2].value.toBool(), 3);
}

template <size_t N, ResampleMode mode>
bool lower_interpolation_backward(LoweringContext& c) {  // (grad_output, output_size, input_size, align_corners, scales...)
  return lower_resample<N>(c, mode, true, c.node.args[3].value.toBool(), 4);
}

// Source coordinates are floor((i + shift) * step) in float, as ATen computes them.
float step_of(double scale, int64_t in, int64_t out) {
  return scale > 0 ? static_cast<float>(1.0 / scale) : static_cast<float>(in) / static_cast<float>(out);
}

template <size_t N, bool Exact>
bool lower_nearest(LoweringContext& c) {  // (self [N, C, spatial...], output_size, scales...)
  const ir::Window &x = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "upsample_nearest", out.sizes, out.sizes.size());
  DimVector strides = x.strides;
  E at = b.integer(0);
  for (size_t d = 0; d < N; ++d) {
    const float step = step_of(scale_of(c, 2 + d), x.sizes[2 + d], out.sizes[2 + d]);
    const E place = cast(b.index(2 + d), ScalarType::Float);
    const E source = unary(codegen::Op::kFloor, (Exact ? place + 0.5 : place) * static_cast<double>(step));
    strides[2 + d] = 0;
    at = at + minimum(cast(source, ScalarType::Long), b.integer(x.sizes[2 + d] - 1)) * static_cast<double>(x.strides[2 + d]);
  }
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, strides, at));
  b.finish();
  return true;
}

// Whether every source element was copied to a block of `factor` elements.
template <bool Exact>
bool copied_to_blocks(int64_t in, int64_t out, int64_t factor, float step) {
  for (int64_t i = 0; i < out; ++i) {
    const float place = Exact ? static_cast<float>(i) + 0.5f : static_cast<float>(i);
    if (factor * in != out || static_cast<int64_t>(std::floor(place * step)) != i / factor) {
      return false;
    }
  }
  return true;
}

template <size_t N, bool Exact>
bool lower_nearest_backward(LoweringContext& c) {  // (grad_output, output_size, input_size, scales...)
  const ir::Window &grad = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  DimVector sizes = out.sizes, strides = grad.strides, out_strides = out.strides;
  for (size_t d = 2; d < 2 + N; ++d) {
    const int64_t factor = std::max<int64_t>(1, grad.sizes[d] / out.sizes[d]);
    if (!copied_to_blocks<Exact>(out.sizes[d], grad.sizes[d], factor, step_of(scale_of(c, 1 + d), out.sizes[d], grad.sizes[d]))) {
      return lower_resample<N>(c, Exact ? ResampleMode::kNearestExact : ResampleMode::kNearest, true, false, 3);
    }
    sizes.push_back(factor);
    strides.push_back(grad.strides[d]);
    strides[d] *= factor;
    out_strides.push_back(0);
  }
  LoopBuilder b(c, "upsample_nearest_backward", sizes, 2 + N);
  b.store(c.node.writes[0], out_strides, sum(b.load(c.node.args[0].index, strides)));
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> upsample_lowerings() {
  return {
      {"upsample_nearest1d", &lower_nearest<1, false>},
      {"upsample_nearest1d_backward", &lower_nearest_backward<1, false>},
      {"_upsample_nearest_exact1d", &lower_nearest<1, true>},
      {"_upsample_nearest_exact1d_backward", &lower_nearest_backward<1, true>},
      {"upsample_nearest2d", &lower_nearest<2, false>},
      {"upsample_nearest2d_backward", &lower_nearest_backward<2, false>},
      {"_upsample_nearest_exact2d", &lower_nearest<2, true>},
      {"_upsample_nearest_exact2d_backward", &lower_nearest_backward<2, true>},
      {"upsample_nearest3d", &lower_nearest<3, false>},
      {"upsample_nearest3d_backward", &lower_nearest_backward<3, false>},
      {"_upsample_nearest_exact3d", &lower_nearest<3, true>},
      {"_upsample_nearest_exact3d_backward", &lower_nearest_backward<3, true>},
      {"upsample_linear1d", &lower_interpolation<1, ResampleMode::kLinear>},
      {"upsample_linear1d_backward", &lower_interpolation_backward<1, ResampleMode::kLinear>},
      {"upsample_bilinear2d", &lower_interpolation<2, ResampleMode::kLinear>},
      {"upsample_bilinear2d_backward", &lower_interpolation_backward<2, ResampleMode::kLinear>},
      {"upsample_trilinear3d", &lower_interpolation<3, ResampleMode::kLinear>},
      {"upsample_trilinear3d_backward", &lower_interpolation_backward<3, ResampleMode::kLinear>},
      {"upsample_bicubic2d", &lower_interpolation<2, ResampleMode::kCubic>},
      {"upsample_bicubic2d_backward", &lower_interpolation_backward<2, ResampleMode::kCubic>},
      {"_upsample_bilinear2d_aa", &lower_interpolation<2, ResampleMode::kLinearAntialias>},
      {"_upsample_bilinear2d_aa_backward", &lower_interpolation_backward<2, ResampleMode::kLinearAntialias>},
      {"_upsample_bicubic2d_aa", &lower_interpolation<2, ResampleMode::kCubicAntialias>},
      {"_upsample_bicubic2d_aa_backward", &lower_interpolation_backward<2, ResampleMode::kCubicAntialias>},
  };
}

}  // namespace torch_hpu::compiler
