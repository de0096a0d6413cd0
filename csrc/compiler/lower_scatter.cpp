// Writes to places that data names: embedding backward, scatters, index put.
#include <ATen/WrapDimUtils.h>

#include "csrc/compiler/library_calls.h"

namespace torch_hpu::compiler {
namespace {

using kernels::Operand;
using kernels::Primitive;

bool lower_embedding_backward(LoweringContext& c) {  // (grad_output, indices, num_weights, padding_idx, scale_grad_by_freq)
  if (!plain_windows(c)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kEmbeddingBackward);
  builder.call.reads = {builder.argument(0), builder.argument(1)};
  builder.call.writes = {builder.destination(0, c.window(0).dtype)};
  builder.call.ints = {c.node.args[3].value.toInt(), c.node.args[4].value.toBool()};
  return builder.commit();
}

// The destination of an op that changes some elements of self: out holds self when the call begins. False when the write cannot be done in place.
bool begin_update(LoweringContext& c, CallBuilder& builder) {
  const Operand self = builder.argument(0), out = builder.operand(c.node.writes[0]);
  for (size_t i = 1; i < c.node.args.size(); ++i) {
    if (is_tensor(c, i) && c.window(i).buffer == out.buffer) {
      return false;
    }
  }
  const ir::Window &from = c.window(0), &to = c.write(0);
  const bool in_place = from.buffer == to.buffer && from.offset == to.offset && from.dtype == to.dtype && from.strides == to.strides;
  if (from.sizes != to.sizes || from.dtype != to.dtype || (!in_place && from.buffer == to.buffer)) {
    return false;
  }
  if (!in_place) {
    builder.fill(self, out);
  }
  builder.call.writes = {out};
  return true;
}

bool lower_scatter_add(LoweringContext& c) {  // (self, dim, index, src)
  if (!plain_windows(c) || c.window(0).sizes.empty() || !is_tensor(c, 3)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kScatterAdd);
  if (!begin_update(c, builder)) {
    return false;
  }
  builder.call.reads = {builder.argument(2), builder.argument(3), builder.call.writes[0]};
  builder.call.ints = {at::maybe_wrap_dim(c.node.args[1].value.toInt(), static_cast<int64_t>(c.window(0).sizes.size()))};
  return builder.commit();
}

bool lower_index_add(LoweringContext& c) {  // (self, dim, index, source, alpha)
  if (!plain_windows(c) || c.window(0).sizes.empty() || c.window(2).sizes.size() != 1 || !is_tensor(c, 3) ||
      c.node.args[4].kind != ir::Arg::Kind::kScalar || c.graph.scalars[c.node.args[4].index].category == ir::ScalarCategory::kComplex ||
      (c10::isIntegralType(c.window(0).dtype, true) && c.graph.scalars[c.node.args[4].index].category == ir::ScalarCategory::kFloat) ||
      c.window(0).dtype == c10::ScalarType::Bool || c.window(3).numel() == 0) {
    return false;
  }
  CallBuilder builder(c, Primitive::kIndexPut);
  if (!begin_update(c, builder)) {
    return false;
  }
  const size_t rank = c.window(0).sizes.size();
  builder.call.reads.resize(rank + 2);
  builder.call.reads[0] = builder.scaled(builder.argument(3), c.node.args[4].index);
  builder.call.reads[1 + static_cast<size_t>(at::maybe_wrap_dim(c.node.args[1].value.toInt(), static_cast<int64_t>(rank)))] =
      builder.argument(2);
  builder.call.reads[rank + 1] = builder.call.writes[0];
  builder.call.ints = {1};
  return builder.commit();
}

bool lower_index_put(LoweringContext& c) {  // (self, indices, values, accumulate, ...)
  const size_t rank = c.window(0).sizes.size();
  const ir::Arg& list = c.node.args[1];
  if (!plain_windows(c) || list.kind != ir::Arg::Kind::kWindowList || list.count > rank || !is_tensor(c, 2)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kIndexPut);
  if (!begin_update(c, builder)) {
    return false;
  }
  builder.call.reads.resize(rank + 2);
  builder.call.reads[0] = builder.argument(2);
  for (uint32_t k = 0; k < list.count; ++k) {
    const ir::WindowId index = c.graph.list_items[list.index + k];
    if (index != ir::kNone) {
      builder.call.reads[1 + k] = builder.operand(index);
      if (builder.call.reads[1 + k].buffer == builder.call.writes[0].buffer) {
        return false;
      }
    }
  }
  builder.call.reads[rank + 1] = builder.call.writes[0];
  builder.call.ints = {c.node.args[3].value.toBool()};
  return builder.commit();
}

}  // namespace

std::vector<LoweringRow> scatter_lowerings() {
  return {
      {"embedding_dense_backward", &lower_embedding_backward},
      {"scatter_add", &lower_scatter_add},
      {"index_add", &lower_index_add},
      {"index_put", &lower_index_put},
      {"_index_put_impl", &lower_index_put},
      {"_unsafe_index_put", &lower_index_put},
  };
}

}  // namespace torch_hpu::compiler
