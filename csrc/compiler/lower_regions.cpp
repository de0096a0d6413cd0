// Ops that move regions of tensors, or choose elements by their coordinates.
#include <ATen/WrapDimUtils.h>

#include <algorithm>

#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::DimVector;

// The dim that argument `arg` names, of a tensor with `rank` dims.
size_t dim_of(const LoweringContext& c, size_t arg, size_t rank) {
  return static_cast<size_t>(at::maybe_wrap_dim(c.node.args[arg].value.toInt(), static_cast<int64_t>(rank)));
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
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "roll", x.sizes, x.sizes.size());
  if (dims.empty()) {  // as one line
    const int64_t n = x.numel(), back = ((-shifts[0]) % n + n) % n;
    const E shifted = b.linear_index() + static_cast<double>(back), size = b.integer(n);
    const E at = displacement(where(shifted >= size, shifted - size, shifted), x);
    b.store(c.node.writes[0], b.load_at(c.node.args[0].index, DimVector(x.sizes.size(), 0), at));
    b.finish();
    return true;
  }
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

// Each element of the input gathers its gradients from the windows that it lies in.
bool lower_unfold_backward(LoweringContext& c) {  // (grad, input_sizes, dim, size, step)
  const ir::Window &grad = c.window(0), &out = c.write(0);
  if (!loopable(c) || out.sizes.empty() || grad.numel() == 0) {
    return false;
  }
  const size_t rank = out.sizes.size(), dim = dim_of(c, 2, rank);
  const int64_t size = c.node.args[3].value.toInt(), step = c.node.args[4].value.toInt();
  DimVector sizes = out.sizes, out_strides = out.strides, strides(grad.strides.begin(), grad.strides.end() - 1);
  sizes.push_back((size + step - 1) / step);  // windows that an element may lie in
  out_strides.push_back(0);
  strides[dim] = 0;
  strides.push_back(0);
  LoopBuilder b(c, "unfold_backward", sizes, rank);
  const E i = b.index(dim), window = binary(codegen::Op::kDivFloor, i, b.integer(step)) - b.index(rank);
  const E place = i - window * static_cast<double>(step);
  const E inside = (window >= 0.0) & (window < static_cast<double>(grad.sizes[dim])) & (place < static_cast<double>(size));
  const E at = window * static_cast<double>(grad.strides[dim]) + place * static_cast<double>(grad.strides.back());
  const E g = b.load_at(c.node.args[0].index, strides, where(inside, at, b.integer(0)));
  b.store(c.node.writes[0], out_strides, sum(where(inside, g, b.constant(0, g.dtype()))));
  b.finish();
  return true;
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

}  // namespace

std::vector<LoweringRow> region_lowerings() {
  return {
      {"cat", &lower_cat},
      {"tril", &lower_triangle<false>},
      {"triu", &lower_triangle<true>},
      {"flip", &lower_flip},
      {"roll", &lower_roll},
      {"select_backward", &lower_select_backward},
      {"slice_scatter", &lower_slice_scatter},
      {"select_scatter", &lower_select_scatter},
      {"unfold_backward", &lower_unfold_backward},
      {"glu", &lower_glu},
      {"glu_backward", &lower_glu_backward},
  };
}

}  // namespace torch_hpu::compiler
