#include "csrc/kernels/onednn_plan.h"

#include <c10/util/Exception.h>

#include <optional>

#include "csrc/kernels/workspace.h"

namespace torch_hpu::kernels::onednn {
namespace {

using dnnl::memory;
using Direction = kernels::Primitive;

struct Geometry {  // the ints of a call
  size_t n;
  c10::ArrayRef<int64_t> stride, padding, dilation;
  bool transposed;
  int64_t groups;
};

Geometry geometry(const LibraryCall& call) {
  const auto n = static_cast<size_t>(call.ints.at(0));
  TORCH_INTERNAL_ASSERT(call.ints.size() == 3 + 4 * n, "a convolution of ", n, " dims has ", call.ints.size(), " ints");
  const c10::ArrayRef<int64_t> all(call.ints);
  return {n, all.slice(1, n), all.slice(1 + n, n), all.slice(1 + 2 * n, n), all[1 + 4 * n] != 0, all[2 + 4 * n]};
}

// ATen's weights are [O, I/g, k...], transposed [I, O/g, k...]; oneDNN's are [g, O/g, I/g, k...] (no g when it is 1).
memory::desc weights_desc(const Operand& w, const Geometry& g) {
  const int64_t first = w.sizes[0] / g.groups;
  const int64_t outer = g.transposed ? w.sizes[1] : first, inner = g.transposed ? first : w.sizes[1];
  const int64_t outer_stride = g.transposed ? w.strides[1] : w.strides[0], inner_stride = g.transposed ? w.strides[0] : w.strides[1];
  memory::dims sizes, strides;
  if (g.groups > 1) {
    sizes.push_back(g.groups);
    strides.push_back(first * w.strides[0]);
  }
  sizes.insert(sizes.end(), {outer, inner});
  strides.insert(strides.end(), {outer_stride, inner_stride});
  sizes.insert(sizes.end(), w.sizes.begin() + 2, w.sizes.end());
  strides.insert(strides.end(), w.strides.begin() + 2, w.strides.end());
  return g.groups > 1 ? memory::desc(sizes, data_type(w.dtype), strides) : desc(sizes, strides, w.dtype);
}

memory::desc desc_of(const Operand& o) {
  return desc(o.sizes, o.strides, o.dtype);
}

memory::desc any_of(const memory::desc& d) {
  return {d.get_dims(), d.get_data_type(), memory::format_tag::any};
}

}  // namespace

memory::desc channels_last_of(const memory::desc& d) {
  const memory::dims sizes = d.get_dims();
  memory::dims strides(sizes.size());
  int64_t next = sizes[1];
  strides[1] = 1;
  for (size_t i = sizes.size(); i-- > 2;) {
    strides[i] = next;
    next *= sizes[i];
  }
  strides[0] = next;
  return {sizes, d.get_data_type(), strides};
}

namespace {

memory::desc inside(const memory::desc& d, Method method) {
  return method == Method::kAsInMemory ? d : method == Method::kAny ? any_of(d) : channels_last_of(d);
}

// A bias with its values side by side, as primitives and Winograd want it.
memory::desc as_dense(const memory::desc& bias) {
  return bias.is_zero() ? bias : memory::desc(bias.get_dims(), bias.get_data_type(), memory::dims{1});
}

// [N, C, ...] as [N, C, points]; nothing when the points are not equally far apart.
std::optional<memory::desc> flat(const memory::desc& d) {
  const memory::dims sizes = d.get_dims(), strides = d.get_strides();
  int64_t points = 1, apart = 1;
  for (size_t i = sizes.size(); i-- > 2;) {
    if (sizes[i] == 1) {
      continue;
    }
    if (points == 1) {
      apart = strides[i];
    } else if (strides[i] != points * apart) {
      return std::nullopt;
    }
    points *= sizes[i];
  }
  return product_desc({sizes[0], sizes[1], points}, {strides[0], strides[1], apart}, d.get_data_type());
}

// A convolution of one point as a product: dst[n] = weights src[n] + bias, and what the post-ops read.
struct Product {
  memory::desc src, weights, dst, bias;
  std::vector<memory::desc> operands;
};

// Nothing when it is none.
std::optional<Product> product_of(const Convolution& c) {
  const memory::dims w = c.weights.desc.get_dims(), ones(w.size() - 2, 1), none(w.size() - 2, 0);
  if (c.direction != Direction::kConvolution || c.transposed || c.dst.desc.get_ndims() != static_cast<int>(w.size()) ||
      !std::equal(ones.begin(), ones.end(), w.begin() + 2) || c.strides != ones || c.padding_l != none || c.padding_r != none ||
      c.bias.desc != as_dense(c.bias.desc)) {
    return std::nullopt;
  }
  const auto src = flat(c.src.desc), dst = flat(c.dst.desc);
  if (!src || !dst) {
    return std::nullopt;
  }
  const memory::dims strides = c.weights.desc.get_strides();
  Product p{*src, product_desc({1, w[0], w[1]}, {0, strides[0], strides[1]}, c.weights.desc.get_data_type()), *dst, {}, {}};
  if (!c.bias.desc.is_zero()) {
    p.bias = product_desc({1, w[0], 1}, {0, 1, 0}, c.bias.desc.get_data_type());
  }
  for (const memory::desc& d : c.operands) {
    const auto operand = flat(d);
    if (!operand) {
      return std::nullopt;
    }
    p.operands.push_back(*operand);
  }
  return p;
}

bool is_float(const memory::desc& d) {
  return d.is_zero() || d.get_data_type() == memory::data_type::f32;
}

// The convolution as Winograd's algorithm takes it; nothing when it does not.
std::optional<Winograd::Problem> winograd_problem(const Convolution& c) {
  const memory::dims x = c.src.desc.get_dims(), y = c.dst.desc.get_dims(), w = c.weights.desc.get_dims(), once{1, 1}, none{0, 0};
  if (c.direction != Direction::kConvolution || c.transposed || w.size() != 4 || w[2] != 3 || w[3] != 3 || c.strides != once ||
      c.dilates != none || !is_float(c.src.desc) || !is_float(c.bias.desc)) {
    return std::nullopt;
  }
  const memory::dims strides = c.weights.desc.get_strides();
  if (strides[1] != 9 || strides[2] != 3 || strides[3] != 1) {
    return std::nullopt;
  }
  Winograd::Problem p{x[0], x[1], y[1], x[2], x[3], y[2], y[3], c.padding_l[0], c.padding_l[1], strides[0], c.post_ops, {}};
  for (const memory::desc& d : c.operands) {
    const memory::dims sizes = d.get_dims();
    if (!is_float(d) || (sizes != y && sizes != memory::dims{1, y[1], 1, 1})) {
      return std::nullopt;
    }
    p.per_channel.push_back(sizes != y);
  }
  return p;
}

// A post-op's operand as [N or 1, C or 1, ...] of the rank of out.
memory::desc operand_desc(const Operand& o, size_t rank) {
  ir::DimVector sizes = o.sizes, strides = o.strides;
  while (sizes.size() < rank) {
    sizes.insert(sizes.begin(), 1);
    strides.insert(strides.begin(), 1);
  }
  return desc(sizes, strides, o.dtype);
}

}  // namespace

double Convolution::flops() const {
  const memory::dims w = weights.desc.get_dims();
  const memory::dims moving = transposed ? src.desc.get_dims() : dst.desc.get_dims();  // every weight of a group meets each of its points
  double f = 2;
  for (int64_t s : w) {
    f *= static_cast<double>(s);
  }
  f *= static_cast<double>(moving[0]);
  for (size_t d = 2; d < moving.size(); ++d) {
    f *= static_cast<double>(moving[d]);
  }
  return f;
}

Convolution describe_convolution(const LibraryCall& call) {
  const Geometry g = geometry(call);
  Convolution c;
  c.direction = call.primitive;
  c.transposed = g.transposed;
  const Operand &first = call.reads[0], &second = call.reads[1], &out = call.writes[0];
  switch (call.primitive) {
    case Direction::kConvolution:
      c.src = {DNNL_ARG_SRC, desc_of(first)};
      c.weights = {DNNL_ARG_WEIGHTS, weights_desc(second, g)};
      c.dst = {DNNL_ARG_DST, desc_of(out)};
      c.bias = {DNNL_ARG_BIAS, present(call.reads[2]) ? desc_of(call.reads[2]) : memory::desc()};
      break;
    case Direction::kConvolutionBackwardInput:
      c.src = {DNNL_ARG_DIFF_SRC, desc_of(out)};
      c.weights = {DNNL_ARG_WEIGHTS, weights_desc(second, g)};
      c.dst = {DNNL_ARG_DIFF_DST, desc_of(first)};
      break;
    default:
      c.src = {DNNL_ARG_SRC, desc_of(second)};
      c.weights = {DNNL_ARG_DIFF_WEIGHTS, weights_desc(out, g)};
      c.dst = {DNNL_ARG_DIFF_DST, desc_of(first)};
  }
  const memory::dims x = c.src.desc.get_dims(), y = c.dst.desc.get_dims(), w = c.weights.desc.get_dims();
  for (size_t d = 0; d < g.n; ++d) {
    const int64_t kernel = (w[w.size() - g.n + d] - 1) * g.dilation[d] + 1;
    c.strides.push_back(g.stride[d]);
    c.dilates.push_back(g.dilation[d] - 1);
    c.padding_l.push_back(g.padding[d]);
    c.padding_r.push_back(g.transposed ? (x[d + 2] - 1) * g.stride[d] + kernel - y[d + 2] - g.padding[d] : g.padding[d]);
  }
  c.post_ops = call.post_ops;
  for (const PostOp& p : call.post_ops) {
    if (reads_tensor(p)) {
      c.operands.push_back(operand_desc(call.reads[p.operand], out.sizes.size()));
    }
  }
  return c;
}

void Plan::add_port(const Primitive::Argument& outside, const memory::desc& inside, bool written) {
  Port port;
  if (inside != outside.desc) {
    port.reorder = written ? std::make_unique<Reorder>(inside, outside.desc) : std::make_unique<Reorder>(outside.desc, inside);
    port.workspace = workspace_bytes_;
    workspace_bytes_ += (inside.get_size() + 63) / 64 * 64;
  }
  arguments_.push_back({outside.id, inside});
  ports_.push_back(std::move(port));
  written_.push_back(written);
}

Winograd::Gain winograd_gain(const Convolution& c) {
  const auto problem = winograd_problem(c);
  return problem ? Winograd::gain(*problem) : Winograd::Gain::kNone;
}

void Plan::plan_winograd(const Convolution& c) {
  if (winograd_gain(c) == Winograd::Gain::kNone) {
    throw dnnl::error(dnnl_unimplemented, "not by Winograd's algorithm");
  }
  winograd_ = std::make_unique<Winograd>(*winograd_problem(c));
  packed_bytes_ = winograd_->packed_floats() * sizeof(float);
  add_port(c.src, channels_last_of(c.src.desc), false);
  add_port(c.weights, c.weights.desc, false);
  add_port(c.dst, channels_last_of(c.dst.desc), true);
  add_bias(c.bias);
  for (const memory::desc& d : c.operands) {
    add_port({DNNL_ARG_SRC_1, d}, channels_last_of(d), false);
  }
}

void Plan::plan_product(const Convolution& c) {
  const auto p = product_of(c);
  if (!p) {
    throw dnnl::error(dnnl_unimplemented, "no product of matrices");
  }
  std::vector<Primitive::Argument> extras;
  dnnl::post_ops ops;
  const auto next_extra = [&](const memory::desc& d) { extras.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(ops.len()) | DNNL_ARG_SRC_1, d}); };
  if (!p->bias.is_zero()) {
    next_extra(p->bias);
    ops.append_binary(dnnl::algorithm::binary_add, p->bias);
  }
  size_t operand = 0;
  for (const PostOp& post_op : c.post_ops) {
    const memory::desc* d = reads_tensor(post_op) ? &p->operands[operand++] : nullptr;
    if (d != nullptr) {
      next_extra(*d);
    }
    TORCH_INTERNAL_ASSERT(append_post_op(ops, post_op, d));
  }
  const dnnl::matmul::primitive_desc pd(engine(), p->weights, p->src, p->dst, attributes(ops));
  note_implementation(pd.impl_info_str());
  add_port({DNNL_ARG_WEIGHTS, p->src}, p->src, false);
  add_port({DNNL_ARG_SRC, p->weights}, p->weights, false);
  add_port({DNNL_ARG_DST, p->dst}, p->dst, true);
  for (const Primitive::Argument& extra : extras) {
    add_port(extra, extra.desc, false);
  }
  primitive_ = std::make_unique<Primitive>(dnnl::matmul(pd), arguments_, pd.scratchpad_desc());
}

void Plan::note_implementation(const char* name) {
  implementation_ = name;
  if (needs_sgemm()) {
    prepare_sgemm(/*wait=*/false);
  }
}

void Plan::add_bias(const Primitive::Argument& bias) {
  has_bias_ = !bias.desc.is_zero();
  if (has_bias_) {
    add_port(bias, as_dense(bias.desc), false);
  }
}

Plan::Plan(const Convolution& c, Method method) {
  if (method == Method::kWinograd) {
    plan_winograd(c);
    return;
  }
  if (method == Method::kProduct) {
    plan_product(c);
    return;
  }
  const memory::desc bias = as_dense(c.bias.desc), src = inside(c.src.desc, method), dst = inside(c.dst.desc, method),
                     weights = any_of(c.weights.desc);
  dnnl::post_ops ops;
  size_t operand = 0;
  std::vector<int> operand_ids;
  for (const PostOp& p : c.post_ops) {
    const bool tensor = reads_tensor(p);
    memory::desc d;
    if (tensor) {
      const memory::desc& given = c.operands[operand++];
      d = given.get_dims() == c.dst.desc.get_dims() ? inside(given, method) : given;
      operand_ids.push_back(DNNL_ARG_ATTR_MULTIPLE_POST_OP(ops.len()) | DNNL_ARG_SRC_1);
    }
    TORCH_INTERNAL_ASSERT(append_post_op(ops, p, tensor ? &d : nullptr));
  }
  const dnnl::primitive_attr attr = attributes(ops), plain = attributes();
  const dnnl::engine& e = engine();

  auto finish = [&](const auto& pd, const dnnl::primitive& primitive, const memory::desc& s, const memory::desc& w, const memory::desc& d) {
    add_port(c.src, s, c.direction == Direction::kConvolutionBackwardInput);
    add_port(c.weights, w, c.direction == Direction::kConvolutionBackwardWeight);
    if (c.direction != Direction::kConvolutionBackwardWeight && ports_[1].reorder != nullptr) {
      packed_bytes_ = w.get_size();
    }
    add_port(c.dst, d, c.direction == Direction::kConvolution);
    add_bias(c.bias);
    for (size_t i = 0; i < operand_ids.size(); ++i) {
      const memory::desc wanted = pd.query_md(dnnl::query::exec_arg_md, operand_ids[i]);
      add_port({operand_ids[i], c.operands[i]}, wanted, false);
    }
    primitive_ = std::make_unique<Primitive>(primitive, arguments_, pd.scratchpad_desc());
    note_implementation(pd.impl_info_str());
  };
  const auto training = dnnl::prop_kind::forward_training;
  const auto [st, di, pl, pr] = std::tie(c.strides, c.dilates, c.padding_l, c.padding_r);

  if (!c.transposed) {
    using Forward = dnnl::convolution_forward;
    const auto direct = dnnl::algorithm::convolution_direct;
    if (c.direction == Direction::kConvolution) {
      const auto inference = dnnl::prop_kind::forward_inference;
      const auto pd = bias.is_zero() ? Forward::primitive_desc(e, inference, direct, src, weights, dst, st, di, pl, pr, attr)
                                     : Forward::primitive_desc(e, inference, direct, src, weights, bias, dst, st, di, pl, pr, attr);
      finish(pd, Forward(pd), pd.src_desc(), pd.weights_desc(), pd.dst_desc());
      return;
    }
    const Forward::primitive_desc hint(e, training, direct, any_of(src), weights, any_of(dst), st, di, pl, pr);
    if (c.direction == Direction::kConvolutionBackwardInput) {
      using Backward = dnnl::convolution_backward_data;
      const Backward::primitive_desc pd(e, direct, src, weights, dst, st, di, pl, pr, hint, plain);
      finish(pd, Backward(pd), pd.diff_src_desc(), pd.weights_desc(), pd.diff_dst_desc());
      return;
    }
    using Backward = dnnl::convolution_backward_weights;
    const Backward::primitive_desc pd(e, direct, src, weights, dst, st, di, pl, pr, hint, plain);
    finish(pd, Backward(pd), pd.src_desc(), pd.diff_weights_desc(), pd.diff_dst_desc());
    return;
  }
  using Forward = dnnl::deconvolution_forward;
  const auto direct = dnnl::algorithm::deconvolution_direct;
  if (c.direction == Direction::kConvolution) {
    const auto inference = dnnl::prop_kind::forward_inference;
    const auto pd = bias.is_zero() ? Forward::primitive_desc(e, inference, direct, src, weights, dst, st, di, pl, pr, attr)
                                   : Forward::primitive_desc(e, inference, direct, src, weights, bias, dst, st, di, pl, pr, attr);
    finish(pd, Forward(pd), pd.src_desc(), pd.weights_desc(), pd.dst_desc());
    return;
  }
  const Forward::primitive_desc hint(e, training, direct, any_of(src), weights, any_of(dst), st, di, pl, pr);
  if (c.direction == Direction::kConvolutionBackwardInput) {
    using Backward = dnnl::deconvolution_backward_data;
    const Backward::primitive_desc pd(e, direct, src, weights, dst, st, di, pl, pr, hint, plain);
    finish(pd, Backward(pd), pd.diff_src_desc(), pd.weights_desc(), pd.diff_dst_desc());
    return;
  }
  using Backward = dnnl::deconvolution_backward_weights;
  const Backward::primitive_desc pd(e, direct, src, weights, dst, st, di, pl, pr, hint, plain);
  finish(pd, Backward(pd), pd.src_desc(), pd.diff_weights_desc(), pd.diff_dst_desc());
}

void Plan::run(c10::ArrayRef<const void*> addresses, const void* packed_weights) const {
  c10::SmallVector<const void*, 8> inside;
  for (const void* address : addresses) {
    inside.push_back(address);
  }
  std::byte* moved = workspace_bytes_ > 0 ? workspace(Workspace::kReorder, workspace_bytes_) : nullptr;
  for (size_t i = 0; i < ports_.size(); ++i) {
    std::byte* const to = moved + ports_[i].workspace;
    if (i == 1 && packed_weights != nullptr) {
      inside[i] = packed_weights;
    } else if (ports_[i].reorder != nullptr) {
      if (!written_[i]) {
        ports_[i].reorder->run(addresses[i], to);
      }
      inside[i] = to;
    }
  }
  if (winograd_ != nullptr) {
    run_winograd(inside, packed_weights != nullptr);
  } else {
    primitive_->run(inside);
  }
  for (size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i].reorder != nullptr && written_[i]) {
      ports_[i].reorder->run(inside[i], const_cast<void*>(addresses[i]));
    }
  }
}

void Plan::run_winograd(c10::ArrayRef<const void*> inside, bool packed) const {
  c10::SmallVector<const float*, 8> floats;
  for (const void* p : inside) {
    floats.push_back(static_cast<const float*>(p));
  }
  const size_t bias = has_bias_ ? 1 : 0;
  winograd_->run(floats[0], {floats[1], packed}, const_cast<float*>(floats[2]), has_bias_ ? floats[3] : nullptr,
                 c10::ArrayRef<const float*>(floats).slice(3 + bias));
}

void Plan::pack(const void* weights, void* packed) const {
  if (winograd_ != nullptr) {
    winograd_->pack(static_cast<const float*>(weights), static_cast<float*>(packed));
  } else {
    ports_[1].reorder->run(weights, packed);
  }
}

}  // namespace torch_hpu::kernels::onednn
