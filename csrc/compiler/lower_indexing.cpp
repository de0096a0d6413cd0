// Ops that move elements: by index, by region, by coordinate.
#include <ATen/WrapDimUtils.h>

#include <algorithm>
#include <cmath>

#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::DimVector;

bool lower_embedding(LoweringContext& c) {  // (weight [V, D], indices, ...)
  const ir::Window &weight = c.window(0), &out = c.write(0);
  if (!loopable(c) || weight.numel() == 0) {
    return false;
  }
  LoopBuilder b(c, "embedding", out.sizes, out.sizes.size());
  DimVector index_strides = c.window(1).strides;
  index_strides.push_back(0);
  DimVector row_strides(out.sizes.size(), 0);
  row_strides.back() = weight.strides[1];
  const E row = b.check_index(b.load(c.node.args[1].index, index_strides), weight.sizes[0]);
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, row_strides, row * static_cast<double>(weight.strides[0])));
  b.finish();
  return true;
}

bool lower_index_select(LoweringContext& c) {  // (self, dim, index)
  const ir::Window &x = c.window(0), &out = c.write(0), &index = c.window(2);
  if (!loopable(c) || x.sizes.empty() || x.numel() == 0 || index.sizes.empty()) {
    return false;
  }
  const auto dim = static_cast<size_t>(at::maybe_wrap_dim(c.node.args[1].value.toInt(), static_cast<int64_t>(x.sizes.size())));
  LoopBuilder b(c, "index_select", out.sizes, out.sizes.size());
  DimVector index_strides(out.sizes.size(), 0), strides = x.strides;
  index_strides[dim] = index.strides[0];
  strides[dim] = 0;
  const E i = b.check_index(b.load(c.node.args[2].index, index_strides), x.sizes[dim]);
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, strides, i * static_cast<double>(x.strides[dim])));
  b.finish();
  return true;
}

bool lower_index(LoweringContext& c) {  // (self, indices): see rules::index for the shape
  const ir::Window &x = c.window(0), &out = c.write(0);
  if (!loopable(c) || x.numel() == 0) {
    return false;
  }
  std::vector<size_t> dims;
  auto window_of = [&](size_t d) { return c.graph.list_items[c.node.args[1].index + d]; };
  size_t common = 0;  // rank of the indices' common shape
  for (size_t d = 0; d < c.node.args[1].count; ++d) {
    if (window_of(d) != ir::kNone) {
      dims.push_back(d);
      common = std::max(common, c.graph.windows[window_of(d)].sizes.size());
    }
  }
  if (dims.empty()) {
    return false;
  }
  const bool adjacent = dims.back() - dims.front() + 1 == dims.size();
  const size_t before = adjacent ? dims.front() : 0;
  LoopBuilder b(c, "index", out.sizes, out.sizes.size());
  DimVector strides;
  for (size_t d = 0; d < x.sizes.size(); ++d) {
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) {
      strides.push_back(x.strides[d]);
    }
  }
  strides.insert(strides.begin() + static_cast<int64_t>(before), common, 0);
  E at = b.constant(0, ScalarType::Long);
  for (size_t d : dims) {
    const ir::Window& index = c.graph.windows[window_of(d)];
    DimVector index_strides(out.sizes.size(), 0);
    const size_t shift = before + common - index.sizes.size();
    for (size_t i = 0; i < index.sizes.size(); ++i) {
      index_strides[shift + i] = index.sizes[i] == 1 ? 0 : index.strides[i];
    }
    at = at + b.check_index(b.load(window_of(d), index_strides), x.sizes[d]) * static_cast<double>(x.strides[d]);
  }
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, strides, at));
  b.finish();
  return true;
}

bool lower_gather(LoweringContext& c) {  // (self, dim, index, sparse_grad)
  const ir::Window &x = c.window(0), &out = c.write(0);
  if (!loopable(c) || x.sizes.empty() || x.numel() == 0 || c.window(2).sizes.size() != x.sizes.size()) {
    return false;
  }
  const auto dim = static_cast<size_t>(at::maybe_wrap_dim(c.node.args[1].value.toInt(), static_cast<int64_t>(x.sizes.size())));
  LoopBuilder b(c, "gather", out.sizes, out.sizes.size());
  DimVector strides = x.strides;
  strides[dim] = 0;
  const E i = b.check_index(b.load(c.node.args[2].index), x.sizes[dim]);
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, strides, i * static_cast<double>(x.strides[dim])));
  b.finish();
  return true;
}

bool lower_cat(LoweringContext& c) {  // (tensors, dim): a copy into each part of the result
  const ir::Window& out = c.write(0);
  if (!loopable(c) || out.sizes.empty()) {
    return false;
  }
  const auto dim = static_cast<size_t>(at::maybe_wrap_dim(c.node.args[1].value.toInt(), static_cast<int64_t>(out.sizes.size())));
  int64_t position = 0;
  for (uint32_t k = 0; k < c.node.args[0].count; ++k) {
    const ir::WindowId id = c.graph.list_items[c.node.args[0].index + k];
    const ir::Window& part = c.graph.windows[id];
    if (part.buffer == out.buffer) {
      return false;  // the parts would be overwritten while they are read
    }
  }
  for (uint32_t k = 0; k < c.node.args[0].count; ++k) {
    const ir::WindowId id = c.graph.list_items[c.node.args[0].index + k];
    const ir::Window& part = c.graph.windows[id];
    if (part.numel() == 0) {
      continue;
    }
    LoopBuilder b(c, "cat", part.sizes, part.sizes.size());
    b.store_at_offset(c.node.writes[0], out.strides, position * out.strides[dim], b.load(id));
    b.finish();
    position += part.sizes[dim];
  }
  return true;
}

// The dim that argument `arg` names, of a tensor with `rank` dims.
size_t dim_of(const LoweringContext& c, size_t arg, size_t rank) {
  return static_cast<size_t>(at::maybe_wrap_dim(c.node.args[arg].value.toInt(), static_cast<int64_t>(rank)));
}

template <bool Upper>
bool lower_triangle(LoweringContext& c) {  // (self, diagonal)
  const ir::Window& x = c.window(0);
  const size_t rank = x.sizes.size();
  if (!loopable(c) || rank < 2) {
    return false;
  }
  LoopBuilder b(c, Upper ? "triu" : "tril", x.sizes, rank);
  const E value = b.load(c.node.args[0].index);
  const E last = b.index(rank - 2) + static_cast<double>(c.node.args[1].value.toInt());  // the diagonal's column in this row
  const E column = b.index(rank - 1);
  b.store(c.node.writes[0], where(Upper ? column >= last : column <= last, value, b.constant(0, value.dtype())));
  b.finish();
  return true;
}

bool lower_flip(LoweringContext& c) {  // (self, dims)
  const ir::Window& x = c.window(0);
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "flip", x.sizes, x.sizes.size());
  DimVector strides = x.strides;
  E at = b.constant(0, ScalarType::Long);
  for (int64_t dim : c.node.args[1].value.toIntVector()) {
    const auto d = static_cast<size_t>(at::maybe_wrap_dim(dim, static_cast<int64_t>(x.sizes.size())));
    strides[d] = 0;
    at = at + (static_cast<double>(x.sizes[d] - 1) - b.index(d)) * static_cast<double>(x.strides[d]);
  }
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, strides, at));
  b.finish();
  return true;
}

bool lower_roll(LoweringContext& c) {  // (self, shifts, dims)
  const ir::Window& x = c.window(0);
  const std::vector<int64_t> shifts = c.node.args[1].value.toIntVector(), dims = c.node.args[2].value.toIntVector();
  if (!loopable(c) || shifts.size() != dims.size()) {
    return false;  // without dims the tensor is rolled as a flat one
  }
  LoopBuilder b(c, "roll", x.sizes, x.sizes.size());
  DimVector strides = x.strides;
  E at = b.constant(0, ScalarType::Long);
  for (size_t i = 0; i < dims.size(); ++i) {
    const auto d = static_cast<size_t>(at::maybe_wrap_dim(dims[i], static_cast<int64_t>(x.sizes.size())));
    if (strides[d] == 0) {
      return false;  // a dim that is named twice
    }
    const int64_t n = x.sizes[d], back = ((-shifts[i]) % n + n) % n;
    const E shifted = b.index(d) + static_cast<double>(back), size = b.constant(static_cast<double>(n), ScalarType::Long);
    strides[d] = 0;
    at = at + where(shifted >= size, shifted - size, shifted) * static_cast<double>(x.strides[d]);
  }
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, strides, at));
  b.finish();
  return true;
}

bool lower_select_backward(LoweringContext& c) {  // (grad_output, input_sizes, dim, index)
  const ir::Window &grad = c.window(0), &out = c.write(0);
  if (!loopable(c) || out.sizes.size() != grad.sizes.size() + 1) {
    return false;
  }
  const size_t dim = dim_of(c, 2, out.sizes.size());
  int64_t index = c.node.args[3].value.toInt();
  index = index < 0 ? index + out.sizes[dim] : index;
  LoopBuilder b(c, "select_backward", out.sizes, out.sizes.size());
  DimVector strides = grad.strides;
  strides.insert(strides.begin() + static_cast<int64_t>(dim), 0);
  const E g = b.load(c.node.args[0].index, strides);
  const E hit = equal(b.index(dim), b.constant(static_cast<double>(index), ScalarType::Long));
  b.store(c.node.writes[0], where(hit, g, b.constant(0, g.dtype())));
  b.finish();
  return true;
}

// A copy of self, then src into a part of it: `first` elements behind its start, with these strides.
bool scatter_region(LoweringContext& c, int64_t first, const DimVector& strides) {  // (self, src, ...)
  const ir::Window &x = c.window(0), &source = c.window(1);
  LoopBuilder whole(c, "scatter_region", x.sizes, x.sizes.size());
  whole.store(c.node.writes[0], whole.load(c.node.args[0].index));
  whole.finish();
  if (source.numel() > 0) {
    LoopBuilder part(c, "scatter_region", source.sizes, source.sizes.size());
    part.store_at_offset(c.node.writes[0], strides, first, part.load(c.node.args[1].index));
    part.finish();
  }
  return true;
}

bool lower_slice_scatter(LoweringContext& c) {  // (self, src, dim, start?, end?, step)
  const ir::Window& x = c.window(0);
  if (!loopable(c) || x.sizes.empty()) {
    return false;
  }
  const size_t dim = dim_of(c, 2, x.sizes.size());
  int64_t start = c.node.args[3].is_none() ? 0 : c.node.args[3].value.toInt();
  start = std::clamp<int64_t>(start < 0 ? start + x.sizes[dim] : start, 0, x.sizes[dim]);
  DimVector strides = c.write(0).strides;
  const int64_t first = start * strides[dim];
  strides[dim] *= c.node.args[5].value.toInt();
  return scatter_region(c, first, strides);
}

bool lower_select_scatter(LoweringContext& c) {  // (self, src, dim, index)
  const ir::Window& x = c.window(0);
  if (!loopable(c) || x.sizes.empty()) {
    return false;
  }
  const size_t dim = dim_of(c, 2, x.sizes.size());
  const int64_t index = c.node.args[3].value.toInt();
  DimVector strides = c.write(0).strides;
  const int64_t first = (index < 0 ? index + x.sizes[dim] : index) * strides[dim];
  strides.erase(strides.begin() + static_cast<int64_t>(dim));
  return scatter_region(c, first, strides);
}

bool lower_glu(LoweringContext& c) {  // (self, dim)
  const ir::Window &x = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  const size_t dim = dim_of(c, 1, x.sizes.size());
  LoopBuilder b(c, "glu", out.sizes, out.sizes.size());
  const ir::WindowId id = c.node.args[0].index;
  b.store(c.node.writes[0], b.load(id, x.strides) * sigmoid(b.load_at_offset(id, x.strides, out.sizes[dim] * x.strides[dim])));
  b.finish();
  return true;
}

bool lower_glu_backward(LoweringContext& c) {  // (grad_output, self, dim): both halves of grad_self
  const ir::Window &grad = c.window(0), &x = c.window(1), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  const size_t dim = dim_of(c, 2, x.sizes.size());
  LoopBuilder b(c, "glu_backward", grad.sizes, grad.sizes.size());
  const ir::WindowId id = c.node.args[1].index;
  const E g = b.load(c.node.args[0].index);
  const E value = b.load(id, x.strides), gate = sigmoid(b.load_at_offset(id, x.strides, grad.sizes[dim] * x.strides[dim]));
  b.store(c.node.writes[0], out.strides, g * gate);
  b.store_at_offset(c.node.writes[0], out.strides, grad.sizes[dim] * out.strides[dim], g * value * gate * (1.0 - gate));
  b.finish();
  return true;
}

// The source coordinate of nearest interpolation is floor(i * scale) in float, as ATen computes it.
float nearest_scale(const ir::Arg& given, int64_t in, int64_t out) {
  const double wanted = given.is_none() ? 0 : given.value.toDouble();
  return wanted > 0 ? static_cast<float>(1.0 / wanted) : static_cast<float>(in) / static_cast<float>(out);
}

bool lower_upsample_nearest(LoweringContext& c) {  // (self [N, C, H, W], output_size, scales_h?, scales_w?)
  const ir::Window &x = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "upsample_nearest", out.sizes, out.sizes.size());
  DimVector strides = x.strides;
  E at = b.constant(0, ScalarType::Long);
  for (size_t d : {size_t{2}, size_t{3}}) {
    const float scale = nearest_scale(c.node.args[d], x.sizes[d], out.sizes[d]);
    const E source = unary(codegen::Op::kFloor, cast(b.index(d), ScalarType::Float) * static_cast<double>(scale));
    const E last = b.constant(static_cast<double>(x.sizes[d] - 1), ScalarType::Long);
    strides[d] = 0;
    at = at + minimum(cast(source, ScalarType::Long), last) * static_cast<double>(x.strides[d]);
  }
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, strides, at));
  b.finish();
  return true;
}

// Each source element gathers the block of gradients that were copied from it: where the factor is whole.
bool lower_upsample_nearest_backward(LoweringContext& c) {  // (grad_output, output_size, input_size, scales_h?, scales_w?)
  const ir::Window &grad = c.window(0), &out = c.write(0);
  if (!loopable(c)) {
    return false;
  }
  DimVector sizes = out.sizes, strides = grad.strides, out_strides = out.strides;
  for (size_t d : {size_t{2}, size_t{3}}) {
    const int64_t factor = grad.sizes[d] / out.sizes[d];
    const float scale = nearest_scale(c.node.args[d + 1], out.sizes[d], grad.sizes[d]);
    for (int64_t i = 0; i < grad.sizes[d]; ++i) {
      if (factor * out.sizes[d] != grad.sizes[d] || static_cast<int64_t>(std::floor(static_cast<float>(i) * scale)) != i / factor) {
        return false;
      }
    }
    sizes.push_back(factor);
    strides.push_back(grad.strides[d]);
    strides[d] *= factor;
    out_strides.push_back(0);
  }
  LoopBuilder b(c, "upsample_nearest_backward", sizes, 4);
  b.store(c.node.writes[0], out_strides, sum(b.load(c.node.args[0].index, strides)));
  b.finish();
  return true;
}

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

}  // namespace

std::vector<LoweringRow> indexing_lowerings() {
  return {
      {"embedding", &lower_embedding},
      {"index_select", &lower_index_select},
      {"gather", &lower_gather},
      {"index.Tensor", &lower_index},
      {"cat", &lower_cat},
      {"tril", &lower_triangle<false>},
      {"triu", &lower_triangle<true>},
      {"flip", &lower_flip},
      {"roll", &lower_roll},
      {"select_backward", &lower_select_backward},
      {"slice_scatter", &lower_slice_scatter},
      {"select_scatter", &lower_select_scatter},
      {"glu", &lower_glu},
      {"glu_backward", &lower_glu_backward},
      {"upsample_nearest2d", &lower_upsample_nearest},
      {"upsample_nearest2d_backward", &lower_upsample_nearest_backward},
      {"pixel_shuffle", &lower_pixel_shuffle<false>},
      {"pixel_unshuffle", &lower_pixel_shuffle<true>},
  };
}

}  // namespace torch_hpu::compiler
