// Reads from places that data names.
#include <ATen/WrapDimUtils.h>
#include <algorithm>

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
  const E row = b.check_place(b.load(c.node.args[1].index, index_strides), weight.sizes[0]);
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, row_strides, row * static_cast<double>(weight.strides[0])));
  b.finish();
  return true;
}

bool lower_index_select(LoweringContext& c) {  // (self, dim, index)
  const ir::Window &x = c.window(0), &out = c.write(0), &index = c.window(2);
  if (!loopable(c) || x.numel() == 0) {
    return false;
  }
  LoopBuilder b(c, "index_select", out.sizes, out.sizes.size());
  DimVector index_strides(out.sizes.size(), 0), strides = x.strides;
  if (x.sizes.empty()) {  // one element, named by one index
    b.store(c.node.writes[0], b.load_at(c.node.args[0].index, {}, b.check_place(b.load(c.node.args[2].index, index_strides), 1)));
    b.finish();
    return true;
  }
  const auto dim = static_cast<size_t>(at::maybe_wrap_dim(c.node.args[1].value.toInt(), static_cast<int64_t>(x.sizes.size())));
  index_strides[dim] = index.sizes.empty() ? 0 : index.strides[0];
  strides[dim] = 0;
  const E i = b.check_place(b.load(c.node.args[2].index, index_strides), x.sizes[dim]);
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
  const E i = b.check_place(b.load(c.node.args[2].index), x.sizes[dim]);
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, strides, i * static_cast<double>(x.strides[dim])));
  b.finish();
  return true;
}

bool lower_take(LoweringContext& c) {  // (self, index): self seen as one line
  const ir::Window& x = c.window(0);
  if (!loopable(c) || x.numel() == 0) {
    return false;
  }
  LoopBuilder b(c, "take", c.write(0).sizes, c.write(0).sizes.size());
  const E place = b.check_index(b.load(c.node.args[1].index), x.numel());
  b.store(c.node.writes[0], b.load_at(c.node.args[0].index, DimVector(b.sizes().size(), 0), displacement(place, x)));
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> indexing_lowerings() {
  return {
      {"embedding", &lower_embedding}, {"index_select", &lower_index_select}, {"gather", &lower_gather},
      {"take", &lower_take},           {"index.Tensor", &lower_index},
  };
}

}  // namespace torch_hpu::compiler
