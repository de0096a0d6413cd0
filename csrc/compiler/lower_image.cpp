// Ops that move pixels: shuffles between channels and pixels, columns of convolutions.
#include <array>

#include "csrc/compiler/library_calls.h"
#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::DimVector;

// [..., C r r, H, W] against [..., C, H r, W r]: one copy over [..., C, H, r, W, r].
template <bool Unshuffle>
bool lower_pixel_shuffle(LoweringContext& c) {  // (self, factor)
  const ir::Window &deep = Unshuffle ? c.write(0) : c.window(0), &wide = Unshuffle ? c.window(0) : c.write(0);
  if (!loopable(c)) {
    return false;
  }
  const int64_t r = c.node.args[1].value.toInt();
  const size_t n = deep.sizes.size() - 3;  // dims in front
  auto front = [n](const DimVector& s) { return DimVector(s.begin(), s.begin() + static_cast<int64_t>(n) + 1); };
  DimVector sizes = front(wide.sizes), wide_strides = front(wide.strides), deep_strides = front(deep.strides);
  const int64_t channel = deep.strides[n];
  deep_strides[n] = channel * r * r;
  for (size_t d : {n + 1, n + 2}) {
    sizes.append({deep.sizes[d], r});
    wide_strides.append({wide.strides[d] * r, wide.strides[d]});
    deep_strides.append({deep.strides[d], d == n + 1 ? channel * r : channel});
  }
  LoopBuilder b(c, "pixel_shuffle", sizes, sizes.size());
  const E x = b.load(c.node.args[0].index, Unshuffle ? wide_strides : deep_strides);
  b.store(c.node.writes[0], Unshuffle ? deep_strides : wide_strides, x);
  b.finish();
  return true;
}

// [N, g C/g, spatial...] against [N, C/g g, spatial...]: one copy over [N, C/g, g, spatial...].
bool lower_channel_shuffle(LoweringContext& c) {  // (self, groups)
  const ir::Window &x = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  const int64_t groups = c.node.args[1].value.toInt(), depth = x.sizes[1] / groups;
  auto split = [](DimVector s, int64_t outer, int64_t inner) {
    s[1] = outer;
    s.insert(s.begin() + 2, inner);
    return s;
  };
  const DimVector sizes = split(x.sizes, depth, groups);
  LoopBuilder b(c, "channel_shuffle", sizes, sizes.size());
  b.store(c.node.writes[0], split(out.strides, out.strides[1] * groups, out.strides[1]),
          b.load(c.node.args[0].index, split(x.strides, x.strides[1], x.strides[1] * depth)));
  b.finish();
  return true;
}

// The geometry of im2col and col2im along one spatial dim.
struct Taps {
  int64_t kernel, dilation, padding, stride, places;  // places: of the kernel

  static std::array<Taps, 2> of(const LoweringContext& c, size_t first, const int64_t* image) {  // kernel_size, dilation, padding, stride
    std::array<Taps, 2> taps;
    const auto kernel = int_list(c, first, 2), dilation = int_list(c, first + 1, 2), padding = int_list(c, first + 2, 2),
               stride = int_list(c, first + 3, 2);
    for (size_t d = 0; d < 2; ++d) {
      const int64_t places = (image[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1;
      taps[d] = {kernel[d], dilation[d], padding[d], stride[d], places};
    }
    return taps;
  }
};

// Strides of columns [.., C kh kw, oh ow] as [.., C, kh, kw, oh, ow].
DimVector column_strides(const ir::Window& columns, const std::array<Taps, 2>& taps) {
  DimVector s = columns.strides;
  const int64_t place = s.back(), channel = s[s.size() - 2];
  s.resize(s.size() - 2);
  s.append({channel * taps[0].kernel * taps[1].kernel, channel * taps[1].kernel, channel, place * taps[1].places, place});
  return s;
}

bool lower_im2col(LoweringContext& c) {  // (self [.., C, H, W], kernel_size, dilation, padding, stride)
  const ir::Window &x = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  const size_t lead = x.sizes.size() - 2;
  const auto taps = Taps::of(c, 1, x.sizes.data() + lead);
  DimVector sizes(x.sizes.begin(), x.sizes.begin() + static_cast<int64_t>(lead)),
      strides(x.strides.begin(), x.strides.begin() + static_cast<int64_t>(lead));
  sizes.append({taps[0].kernel, taps[1].kernel, taps[0].places, taps[1].places});
  strides.append(4, 0);
  LoopBuilder b(c, "im2col", sizes, sizes.size());
  E at = b.integer(0), inside;
  for (size_t d = 0; d < 2; ++d) {
    const Taps& t = taps[d];
    const E y = b.index(lead + d) * static_cast<double>(t.dilation) + b.index(lead + 2 + d) * static_cast<double>(t.stride) -
                static_cast<double>(t.padding);
    const E here = (y >= 0.0) & (y < static_cast<double>(x.sizes[lead + d]));
    inside = inside ? inside & here : here;
    at = at + y * static_cast<double>(x.strides[lead + d]);
  }
  const E value = b.load_at(c.node.args[0].index, strides, where(inside, at, b.integer(0)));
  b.store(c.node.writes[0], column_strides(out, taps), where(inside, value, b.constant(0, value.dtype())));
  b.finish();
  return true;
}

// Each pixel sums the columns that it was copied to.
bool lower_col2im(LoweringContext& c) {  // (self [.., C kh kw, L], output_size, kernel_size, dilation, padding, stride)
  const ir::Window &x = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  const size_t lead = out.sizes.size() - 2;
  const auto taps = Taps::of(c, 2, out.sizes.data() + lead);
  const DimVector columns = column_strides(x, taps);
  DimVector sizes = out.sizes, out_strides = out.strides, strides(columns.begin(), columns.begin() + static_cast<int64_t>(lead));
  sizes.append({taps[0].kernel, taps[1].kernel});
  out_strides.append(2, 0);
  strides.append({0, 0, columns[lead], columns[lead + 1]});
  LoopBuilder b(c, "col2im", sizes, lead + 2);
  E at = b.integer(0), inside;
  for (size_t d = 0; d < 2; ++d) {
    const Taps& t = taps[d];
    const E y = b.index(lead + d) + static_cast<double>(t.padding) - b.index(lead + 2 + d) * static_cast<double>(t.dilation);
    const E stride = b.integer(t.stride), place = binary(codegen::Op::kDivFloor, y, stride);
    const E here = (y >= 0.0) & equal(place * stride, y) & (place < static_cast<double>(t.places));
    inside = inside ? inside & here : here;
    at = at + place * static_cast<double>(columns[lead + 2 + d]);
  }
  const E value = b.load_at(c.node.args[0].index, strides, where(inside, at, b.integer(0)));
  b.store(c.node.writes[0], out_strides, sum(where(inside, value, b.constant(0, value.dtype()))));
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> image_lowerings() {
  return {
      {"pixel_shuffle", &lower_pixel_shuffle<false>},
      {"pixel_unshuffle", &lower_pixel_shuffle<true>},
      {"channel_shuffle", &lower_channel_shuffle},
      {"im2col", &lower_im2col},
      {"col2im", &lower_col2im},
  };
}

}  // namespace torch_hpu::compiler
