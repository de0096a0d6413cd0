// Pads that repeat what they border on.
#include <algorithm>
#include <array>

#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using codegen::DimVector;

// Reflecting and replicating pads of the last N dims. `padding` counts from the last dim: left, right, left, right ...
struct Side {
  size_t dim;
  int64_t left, in, out;
};

template <size_t N>
std::array<Side, N> sides(const LoweringContext& c, size_t padding, const ir::Window& in, const ir::Window& out) {
  const std::vector<int64_t> p = c.node.args[padding].value.toIntVector();
  std::array<Side, N> sides;
  for (size_t i = 0; i < N; ++i) {
    const size_t d = in.sizes.size() - 1 - i;
    sides[i] = {d, p[2 * i], in.sizes[d], out.sizes[d]};
  }
  return sides;
}

template <size_t N, bool Reflects>
bool lower_pad(LoweringContext& c) {  // (self, padding)
  const ir::Window &x = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, Reflects ? "reflection_pad" : "replication_pad", out.sizes, out.sizes.size());
  DimVector strides = x.strides;
  E at = b.integer(0);
  for (const Side& s : sides<N>(c, 1, x, out)) {
    const E last = b.integer(s.in - 1);
    E i = b.index(s.dim) - static_cast<double>(s.left);
    if (Reflects) {
      i = abs(i);
      i = where(i > last, last + last - i, i);
    } else {
      i = minimum(maximum(i, b.integer(0)), last);
    }
    strides[s.dim] = 0;
    at = at + i * static_cast<double>(x.strides[s.dim]);
  }
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, strides, at));
  b.finish();
  return true;
}

// How far a place of the output can lie behind the element of the input that it repeats: at the left end, inside, at the right end.
std::pair<int64_t, int64_t> shifts(const Side& s) {
  return {std::min<int64_t>(0, s.left), std::max(s.left, s.out - s.in)};
}

// Each element of the input sums the places that it was copied to. Reflected: as it lies, mirrored at the left, mirrored at the right.
// Replicated: the places i + shift that clamp to i.
template <size_t N, bool Reflects>
bool lower_pad_backward(LoweringContext& c) {  // (grad_output, self, padding)
  const ir::Window &grad = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  const size_t rank = out.sizes.size();
  DimVector sizes = out.sizes, out_strides = out.strides, strides = grad.strides;
  const auto all = sides<N>(c, 2, out, grad);
  for (const Side& s : all) {
    const auto [low, high] = shifts(s);
    sizes.push_back(Reflects ? 3 : high - low + 1);
    out_strides.push_back(0);
    strides[s.dim] = 0;
    strides.push_back(0);
  }
  LoopBuilder b(c, Reflects ? "reflection_pad_backward" : "replication_pad_backward", sizes, rank);
  E at = b.integer(0), valid;
  for (size_t n = 0; n < N; ++n) {
    const Side& s = all[n];
    const E i = b.index(s.dim), k = b.index(rank + n), last = b.integer(s.in - 1), left = b.integer(s.left);
    E place, here;
    if (Reflects) {
      place = where(k <= 0.0, i + left, where(k <= 1.0, left - i, left + last + last - i));
      here = (k <= 0.0) | ((k <= 1.0) & (i > 0.0)) | ((k > 1.0) & (i < last));
    } else {
      place = i + k + static_cast<double>(shifts(s).first);
      here = equal(minimum(maximum(place - left, b.integer(0)), last), i);
    }
    here = here & (place >= 0.0) & (place < static_cast<double>(s.out));
    valid = valid ? valid & here : here;
    at = at + place * static_cast<double>(grad.strides[s.dim]);
  }
  const E g = b.load_at(c.node.args[0].index, strides, where(valid, at, b.integer(0)));
  b.store(c.node.writes[0], out_strides, sum(where(valid, g, b.constant(0, g.dtype()))));
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> pad_lowerings() {
  return {
      {"reflection_pad1d", &lower_pad<1, true>},   {"reflection_pad1d_backward", &lower_pad_backward<1, true>},
      {"replication_pad1d", &lower_pad<1, false>}, {"replication_pad1d_backward", &lower_pad_backward<1, false>},
      {"reflection_pad2d", &lower_pad<2, true>},   {"reflection_pad2d_backward", &lower_pad_backward<2, true>},
      {"replication_pad2d", &lower_pad<2, false>}, {"replication_pad2d_backward", &lower_pad_backward<2, false>},
      {"reflection_pad3d", &lower_pad<3, true>},   {"reflection_pad3d_backward", &lower_pad_backward<3, true>},
      {"replication_pad3d", &lower_pad<3, false>}, {"replication_pad3d_backward", &lower_pad_backward<3, false>},
  };
}

}  // namespace torch_hpu::compiler
