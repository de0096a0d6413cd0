// Ops that move elements by index, and concatenation.
#include <ATen/WrapDimUtils.h>

#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::DimVector;

bool lower_embedding(LoweringContext& c) { // (weight [V, D], indices, ...)
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

bool lower_index_select(LoweringContext& c) { // (self, dim, index)
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

bool lower_gather(LoweringContext& c) { // (self, dim, index, sparse_grad)
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

bool lower_cat(LoweringContext& c) { // (tensors, dim): a copy into each part of the result
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
      return false; // the parts would be overwritten while they are read
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

} // namespace

std::vector<LoweringRow> indexing_lowerings() {
  return {
      {"embedding", &lower_embedding},
      {"index_select", &lower_index_select},
      {"gather", &lower_gather},
      {"cat", &lower_cat},
  };
}

} // namespace torch_hpu::compiler
