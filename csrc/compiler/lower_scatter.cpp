// Writes to places that data names: embedding backward, scatters, index put.
#include <ATen/WrapDimUtils.h>

#include "csrc/compiler/library_calls.h"
#include "csrc/compiler/loop_builder.h"
#include "csrc/kernels/step.h"

namespace torch_hpu::compiler {
namespace {

using kernels::Operand;
using kernels::Primitive;
using kernels::ScatterOp;

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

// An argument that the call may read while it writes: a copy where it shares memory with the destination.
Operand separate(const LoweringContext& c, CallBuilder& builder, size_t i) {
  const Operand o = builder.argument(i);
  return kernels::present(o) && o.buffer == c.write(0).buffer ? builder.dense(o) : o;
}

// The destination of an op that changes some elements of self: out holds self when the call begins. False when the write cannot be done in place.
bool begin_update(LoweringContext& c, CallBuilder& builder) {
  const ir::Window &from = c.window(0), &to = c.write(0);
  const bool in_place = from.buffer == to.buffer && from.offset == to.offset && from.dtype == to.dtype && from.strides == to.strides;
  if (from.sizes != to.sizes || from.dtype != to.dtype || (!in_place && from.buffer == to.buffer)) {
    return false;
  }
  const Operand out = builder.operand(c.node.writes[0]);
  if (!in_place) {
    builder.fill(builder.argument(0), out);
  }
  builder.call.writes = {out};
  return true;
}

// ---- along one dim

Operand at_least_1d(Operand o) {
  if (o.sizes.empty()) {
    o.sizes = {1};
    o.strides = {1};
  }
  return o;
}

Operand expanded(Operand o, const ir::DimVector& sizes) {  // of one element
  o.sizes = sizes;
  o.strides.assign(sizes.size(), 0);
  return o;
}

// A line of indices, the same for all lines along `dim` of a source of these sizes.
Operand index_along(const Operand& line, size_t dim, const ir::DimVector& sizes) {
  Operand o = expanded(line, sizes);
  o.strides[dim] = line.strides.empty() ? 0 : line.strides[0];
  return o;
}

ScatterOp scatter_op(const LoweringContext& c, size_t arg) {
  const std::string& name = c.node.args[arg].value.toStringRef();
  return name == "sum" || name == "add"         ? ScatterOp::kAdd
         : name == "prod" || name == "multiply" ? ScatterOp::kMul
         : name == "amax"                       ? ScatterOp::kMax
         : name == "amin"                       ? ScatterOp::kMin
                                                : ScatterOp::kMean;
}

bool include_self(const LoweringContext& c, size_t arg) {
  return c.node.args.size() <= arg || c.node.args[arg].value.toBool();
}

size_t dim_of(const LoweringContext& c) {  // argument 1, of self
  return static_cast<size_t>(at::maybe_wrap_dim(c.node.args[1].value.toInt(), static_cast<int64_t>(c.window(0).sizes.size())));
}

bool commit_scatter(LoweringContext& c, CallBuilder& builder, const Operand& index, const Operand& src, ScatterOp op,
                    bool with_self = true) {
  const size_t dim = dim_of(c);
  if (!begin_update(c, builder)) {
    return false;
  }
  Operand& out = builder.call.writes[0];
  out = at_least_1d(out);
  builder.call.reads = {index, src, out};
  builder.call.ints = {static_cast<int64_t>(dim), static_cast<int64_t>(op), with_self, /*wraps=*/false};
  return builder.commit();
}

// (self, dim, index, src, reduce?, include_self?)
template <ScatterOp kOp, bool kReduces = false>
bool lower_scatter(LoweringContext& c) {
  if (!plain_windows(c) || !is_tensor(c, 3)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kScatter);
  const Operand index = at_least_1d(separate(c, builder, 2)), src = at_least_1d(separate(c, builder, 3));
  return commit_scatter(c, builder, index, src, kReduces ? scatter_op(c, 4) : kOp, include_self(c, 5));
}

template <bool kReduces>
bool lower_scatter_value(LoweringContext& c) {  // (self, dim, index, value, reduce?)
  if (!plain_windows(c) || !loopable(c)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kScatter);
  const Operand index = at_least_1d(separate(c, builder, 2));
  const Operand value = expanded(builder.number(c.node.args[3].index, c.window(0).dtype), index.sizes);
  return commit_scatter(c, builder, index, value, kReduces ? scatter_op(c, 4) : ScatterOp::kSet);
}

// (self, dim, index [n], source, ...): the source replaces or joins the slices of self that the index names.
bool lower_index_update(LoweringContext& c, CallBuilder& builder, const Operand& source, ScatterOp op, bool with_self = true) {
  const Operand index = index_along(separate(c, builder, 2), dim_of(c), source.sizes);
  return commit_scatter(c, builder, index, source, op, with_self);
}

bool lower_index_add(LoweringContext& c) {  // (self, dim, index, source, alpha: structure when it is 1)
  const ir::Arg& alpha = c.node.args[4];
  const bool scales = alpha.kind == ir::Arg::Kind::kScalar;
  if (!plain_windows(c) || (scales && !loopable(c))) {
    return false;
  }
  CallBuilder builder(c, Primitive::kScatter);
  const Operand source = at_least_1d(separate(c, builder, 3));
  if (scales && (source.dtype == c10::ScalarType::Bool ||
                 (c10::isIntegralType(source.dtype, true) && c.graph.scalars[alpha.index].category == ir::ScalarCategory::kFloat))) {
    return false;
  }
  return lower_index_update(c, builder, scales ? builder.scaled(source, alpha.index) : source, ScatterOp::kAdd);
}

bool lower_index_copy(LoweringContext& c) {  // (self, dim, index, source)
  CallBuilder builder(c, Primitive::kScatter);
  return plain_windows(c) && lower_index_update(c, builder, at_least_1d(separate(c, builder, 3)), ScatterOp::kSet);
}

bool lower_index_reduce(LoweringContext& c) {  // (self, dim, index, source, reduce, include_self)
  CallBuilder builder(c, Primitive::kScatter);
  return plain_windows(c) && lower_index_update(c, builder, at_least_1d(separate(c, builder, 3)), scatter_op(c, 4), include_self(c, 5));
}

bool lower_index_fill(LoweringContext& c) {  // (self, dim, index, value: a number or a tensor of one element)
  if (!plain_windows(c) || !loopable(c)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kScatter);
  ir::DimVector sizes = c.window(0).sizes.empty() ? ir::DimVector{1} : c.window(0).sizes;
  sizes[dim_of(c)] = c.window(2).numel();
  const c10::ScalarType dtype = c.window(0).dtype;
  const Operand value = is_tensor(c, 3) ? builder.dense(builder.argument(3), dtype) : builder.number(c.node.args[3].index, dtype);
  return lower_index_update(c, builder, expanded(value, sizes), ScatterOp::kSet);
}

// ---- by flat position

// A dense operand as one line of elements.
Operand flat(CallBuilder& builder, Operand o, bool may_copy) {
  int64_t expected = 1;
  bool dense = true;
  for (size_t d = o.sizes.size(); d-- > 0;) {
    dense = dense && (o.sizes[d] == 1 || o.strides[d] == expected);
    expected *= o.sizes[d];
  }
  if (!dense && !may_copy) {
    return {};
  }
  if (!dense) {
    o = builder.dense(o);
  }
  o.sizes = {expected};
  o.strides = {1};
  return o;
}

bool lower_put(LoweringContext& c) {  // (self, index, source, accumulate)
  if (!plain_windows(c)) {
    return false;
  }
  CallBuilder builder(c, Primitive::kScatter);
  const Operand index = flat(builder, separate(c, builder, 1), true), source = flat(builder, separate(c, builder, 2), true);
  if (!begin_update(c, builder)) {
    return false;
  }
  Operand& out = builder.call.writes[0];
  out = flat(builder, out, false);
  if (!kernels::present(out)) {  // positions count in the order of the dims: in a dense copy
    const Operand whole = builder.destination(0, c.window(0).dtype, [](const Operand&) { return false; });
    builder.fill(builder.argument(0), whole);
    out = flat(builder, whole, false);
  }
  builder.call.reads = {index, source, out};
  const ScatterOp op = c.node.args[3].value.toBool() ? ScatterOp::kAdd : ScatterOp::kSet;
  builder.call.ints = {0, static_cast<int64_t>(op), 1, /*wraps=*/true};
  return builder.commit();
}

// ---- by several indices at a time

// x[.., mask, ..] = or += a single value: each element decides for itself.
bool lower_masked_put(LoweringContext& c, size_t first_dim, ir::WindowId mask) {
  const ir::Window &x = c.window(0), &m = c.graph.windows[mask];
  if ((is_tensor(c, 2) && c.window(2).numel() != 1) || m.dtype != c10::ScalarType::Bool || m.conj || m.neg || !loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "masked_put", x.sizes, x.sizes.size());
  codegen::DimVector strides(x.sizes.size(), 0);
  std::copy(m.strides.begin(), m.strides.end(), strides.begin() + static_cast<int64_t>(first_dim));
  const E old = b.load(c.node.args[0].index);
  const ir::Arg& given = c.node.args[2];
  const E value =
      is_tensor(c, 2) ? cast(b.load(given.index, codegen::DimVector(x.sizes.size(), 0)), old.dtype()) : b.scalar(given.index, old.dtype());
  b.store(c.node.writes[0], where(b.load(mask, strides), c.node.args[3].value.toBool() ? old + value : value, old));
  b.finish();
  return true;
}

bool lower_index_put(LoweringContext& c) {  // (self, indices, values, accumulate, ...)
  const size_t rank = c.window(0).sizes.size();
  const ir::Arg& list = c.node.args[1];
  if (!plain_windows(c) || list.kind != ir::Arg::Kind::kWindowList || list.count > rank) {
    return false;
  }
  std::vector<uint32_t> indexed;
  for (uint32_t k = 0; k < list.count; ++k) {
    if (c.graph.list_items[list.index + k] != ir::kNone) {
      indexed.push_back(k);
    }
  }
  auto index_of = [&](uint32_t k) { return c.graph.list_items[list.index + k]; };
  if (indexed.size() == 1 && c.graph.windows[index_of(indexed[0])].dtype == c10::ScalarType::Bool) {
    return lower_masked_put(c, indexed[0], index_of(indexed[0]));
  }
  CallBuilder builder(c, Primitive::kIndexPut);
  builder.call.reads.resize(rank + 2);
  builder.call.reads[0] = is_tensor(c, 2) ? separate(c, builder, 2) : builder.number(c.node.args[2].index, c.window(0).dtype);
  for (uint32_t k : indexed) {
    const Operand index = builder.operand(index_of(k));
    builder.call.reads[1 + k] = index.buffer == c.write(0).buffer ? builder.dense(index) : index;
  }
  if (!begin_update(c, builder)) {
    return false;
  }
  builder.call.reads[rank + 1] = builder.call.writes[0];
  builder.call.ints = {c.node.args[3].value.toBool()};
  return builder.commit();
}

}  // namespace

std::vector<LoweringRow> scatter_lowerings() {
  return {
      {"embedding_dense_backward", &lower_embedding_backward},
      {"scatter.src", &lower_scatter<ScatterOp::kSet>},
      {"scatter.reduce", &lower_scatter<ScatterOp::kSet, true>},
      {"scatter.value", &lower_scatter_value<false>},
      {"scatter.value_reduce", &lower_scatter_value<true>},
      {"scatter_add", &lower_scatter<ScatterOp::kAdd>},
      {"scatter_reduce.two", &lower_scatter<ScatterOp::kSet, true>},
      {"index_add", &lower_index_add},
      {"index_copy", &lower_index_copy},
      {"index_fill.int_Scalar", &lower_index_fill},
      {"index_fill.int_Tensor", &lower_index_fill},
      {"index_reduce", &lower_index_reduce},
      {"put", &lower_put},
      {"index_put", &lower_index_put},
      {"_index_put_impl", &lower_index_put},
      {"_unsafe_index_put", &lower_index_put},
  };
}

}  // namespace torch_hpu::compiler
