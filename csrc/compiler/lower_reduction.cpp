// Reductions, softmax and normalisations, forward and backward. Each is one loop with dependent reductions: rows stay in cache.
#include <ATen/WrapDimUtils.h>
#include <ATen/WrapDimUtilsMulti.h>

#include <cmath>

#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::DimVector;
using codegen::Op;

// The dims of a window split into kept and reduced ones: an iteration space with the kept dims first.
struct Split {
  std::vector<size_t> kept, reduced;  // dims of the window

  Split(const ir::Window& w, const std::vector<int64_t>& dims) {
    const auto mask = at::dim_list_to_bitset(dims, w.sizes.size());
    for (size_t d = 0; d < w.sizes.size(); ++d) {
      (dims.empty() || mask[d] ? reduced : kept).push_back(d);
    }
  }

  DimVector sizes(const ir::Window& w) const {
    DimVector s;
    for (const auto* dims : {&kept, &reduced}) {
      for (size_t d : *dims) {
        s.push_back(w.sizes[d]);
      }
    }
    return s;
  }
  // Of a window with the dims of the input.
  DimVector strides(const ir::Window& w) const {
    DimVector s;
    for (const auto* dims : {&kept, &reduced}) {
      for (size_t d : *dims) {
        s.push_back(w.sizes[d] == 1 ? 0 : w.strides[d]);
      }
    }
    return s;
  }
  // Of a result, with or without the reduced dims.
  DimVector result_strides(const ir::Window& w) const {
    DimVector s;
    const bool keepdim = w.sizes.size() == kept.size() + reduced.size();
    for (size_t i = 0; i < kept.size(); ++i) {
      s.push_back(w.strides[keepdim ? kept[i] : i]);
    }
    s.append(reduced.size(), 0);
    return s;
  }
};

std::vector<int64_t> dims_of(const LoweringContext& c, size_t arg) {
  if (arg >= c.node.args.size() || c.node.args[arg].kind != ir::Arg::Kind::kConst) {
    return {};
  }
  const c10::IValue& v = c.node.args[arg].value;
  return v.isInt() ? std::vector<int64_t>{v.toInt()} : v.isIntList() ? v.toIntVector() : std::vector<int64_t>{};
}

bool reducible(const LoweringContext& c) {
  return loopable(c) && c.window(0).numel() > 0;
}

// How values are summed: half precisions in float, integers in 64 bits.
ScalarType sum_dtype(ScalarType memory) {
  return c10::isIntegralType(memory, true) ? ScalarType::Long : compute_dtype(memory);
}

enum class Fold : uint8_t { kSum, kMean, kProd, kMax, kMin, kAny, kAll };

template <Fold fold, bool HasDims>
bool lower_fold(LoweringContext& c) {
  if (!reducible(c)) {
    return false;
  }
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, HasDims ? dims_of(c, 1) : std::vector<int64_t>{});
  LoopBuilder b(c, std::string(c.node.op->name.substr(6)), split.sizes(in), split.kept.size());
  E x = b.load(c.node.args[0].index, split.strides(in));
  switch (fold) {
    case Fold::kSum:
    case Fold::kMean: {
      const ScalarType dtype = sum_dtype(out.dtype);
      x = sum(cast(x, dtype));
      if (fold == Fold::kMean) {
        x = x / static_cast<double>(in.numel() / std::max<int64_t>(1, out.numel()));
      }
      break;
    }
    case Fold::kProd:
      x = prod(cast(x, sum_dtype(out.dtype)));
      break;
    case Fold::kMax:
      x = max_of(x);
      break;
    case Fold::kMin:
      x = min_of(x);
      break;
    case Fold::kAny:
      x = sum(truth(x));
      break;
    case Fold::kAll:
      x = prod(truth(x));
      break;
  }
  b.store(c.node.writes[0], split.result_strides(out), x);
  b.finish();
  return true;
}

template <Op op>
bool lower_arg(LoweringContext& c) {  // (self, dim?, keepdim)
  if (!reducible(c)) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const Split split(in, dims_of(c, 1));
  LoopBuilder b(c, std::string(c.node.op->name.substr(6)), split.sizes(in), split.kept.size());
  const E x = b.load(c.node.args[0].index, split.strides(in));
  b.store(c.node.writes[0], split.result_strides(c.write(0)), b.make(op, ScalarType::Long, x));
  b.finish();
  return true;
}

template <Op fold, Op arg>
bool lower_values_and_indices(LoweringContext& c) {  // (self, dim, keepdim)
  if (!reducible(c) || c.window(0).sizes.empty()) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const Split split(in, dims_of(c, 1));
  LoopBuilder b(c, std::string(c.node.op->name.substr(6)), split.sizes(in), split.kept.size());
  const E x = b.load(c.node.args[0].index, split.strides(in));
  b.store(c.node.writes[0], split.result_strides(c.write(0)), unary(fold, x));
  b.store(c.node.writes[1], split.result_strides(c.write(1)), b.make(arg, ScalarType::Long, x));
  b.finish();
  return true;
}

// (self, dim?, correction?, keepdim)
template <bool Root, bool Mean>
bool lower_var(LoweringContext& c) {
  if (!reducible(c) || !c10::isFloatingType(c.window(0).dtype)) {
    return false;
  }
  const ir::Arg& given = c.node.args[2];
  const double correction = given.kind != ir::Arg::Kind::kConst ? 1
                            : given.value.isInt()               ? static_cast<double>(given.value.toInt())
                                                                : given.value.toDouble();
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, dims_of(c, 1));
  const double n = static_cast<double>(in.numel() / std::max<int64_t>(1, out.numel()));
  LoopBuilder b(c, Root ? "std" : "var", split.sizes(in), split.kept.size());
  const E x = b.load(c.node.args[0].index, split.strides(in));
  const E mean = sum(x) / n;
  const E difference = x - mean;
  E variance = sum(difference * difference) / std::max(0.0, n - correction);
  if (Root) {
    variance = sqrt(variance);
  }
  b.store(c.node.writes[0], split.result_strides(out), variance);
  if (Mean) {
    b.store(c.node.writes[1], split.result_strides(c.write(1)), mean);
  }
  b.finish();
  return true;
}

bool lower_vector_norm(LoweringContext& c) {  // (self, ord?, dim?, keepdim, dtype?)
  const bool given = c.node.args[1].kind == ir::Arg::Kind::kConst;
  if (!reducible(c) || !c10::isFloatingType(c.window(0).dtype) || (!given && !c.node.args[1].is_none())) {
    return false;
  }
  const double ord = !given                         ? 2
                     : c.node.args[1].value.isInt() ? static_cast<double>(c.node.args[1].value.toInt())
                                                    : c.node.args[1].value.toDouble();
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, dims_of(c, 2));
  LoopBuilder b(c, "vector_norm", split.sizes(in), split.kept.size());
  const E x = cast(b.load(c.node.args[0].index, split.strides(in)), compute_dtype(out.dtype));
  E norm;
  if (ord == 2) {
    norm = sqrt(sum(x * x));
  } else if (ord == 1) {
    norm = sum(abs(x));
  } else if (ord == std::numeric_limits<double>::infinity()) {
    norm = max_of(abs(x));
  } else if (ord == -std::numeric_limits<double>::infinity()) {
    norm = min_of(abs(x));
  } else {
    return false;
  }
  b.store(c.node.writes[0], split.result_strides(out), norm);
  b.finish();
  return true;
}

bool lower_logsumexp(LoweringContext& c) {  // (self, dim, keepdim)
  if (!reducible(c)) {
    return false;
  }
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, dims_of(c, 1));
  LoopBuilder b(c, "logsumexp", split.sizes(in), split.kept.size());
  const ScalarType dtype = compute_dtype(out.dtype);
  const E x = cast(b.load(c.node.args[0].index, split.strides(in)), dtype);
  const E peak = max_of(x);
  const E shift = where(equal(abs(peak), b.constant(std::numeric_limits<double>::infinity(), dtype)), b.constant(0, dtype), peak);
  b.store(c.node.writes[0], split.result_strides(out), log(sum(exp(x - shift))) + shift);
  b.finish();
  return true;
}

template <bool Log>
bool lower_softmax(LoweringContext& c) {  // (self, dim, half_to_float)
  if (!reducible(c) || c.window(0).sizes.empty()) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const Split split(in, dims_of(c, 1));
  LoopBuilder b(c, Log ? "log_softmax" : "softmax", split.sizes(in), split.kept.size());
  const E x = b.load(c.node.args[0].index, split.strides(in));
  const E shifted = x - max_of(x);
  const E e = exp(shifted);
  const E total = sum(e);
  b.store(c.node.writes[0], split.strides(c.write(0)), Log ? shifted - log(total) : e / total);
  b.finish();
  return true;
}

template <bool Log>
bool lower_softmax_backward(LoweringContext& c) {  // (grad_output, output, dim, input_dtype)
  if (!reducible(c) || c.window(0).sizes.empty()) {
    return false;
  }
  const ir::Window &grad = c.window(0), &out = c.window(1);
  const Split split(grad, dims_of(c, 2));
  LoopBuilder b(c, Log ? "log_softmax_backward" : "softmax_backward", split.sizes(grad), split.kept.size());
  const E g = b.load(c.node.args[0].index, split.strides(grad)), y = b.load(c.node.args[1].index, split.strides(out));
  const E result = Log ? g - exp(y) * sum(g) : (g - sum(g * y)) * y;
  b.store(c.node.writes[0], split.strides(c.write(0)), result);
  b.finish();
  return true;
}

// Strides of a vector indexed by some dims of the iteration space, in their order; 0 elsewhere.
DimVector vector_strides(size_t rank, size_t first, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  DimVector s(rank, 0);
  for (size_t i = 0; i < sizes.size(); ++i) {
    s[first + i] = sizes[i] == 1 ? 0 : strides[i];
  }
  return s;
}

bool lower_layer_norm(LoweringContext& c) {  // (input, normalized_shape, weight?, bias?, eps)
  if (!reducible(c)) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const size_t n = c.node.args[1].value.toIntVector().size(), rank = in.sizes.size(), kept = rank - n;
  LoopBuilder b(c, "layer_norm", in.sizes, kept);
  const ScalarType dtype = compute_dtype(in.dtype);
  int64_t count = 1;
  for (size_t d = kept; d < rank; ++d) {
    count *= in.sizes[d];
  }
  const E x = b.load(c.node.args[0].index, in.strides);
  const E mean = sum(x) / static_cast<double>(count);
  const E difference = x - mean;
  const E variance = sum(difference * difference) / static_cast<double>(count);
  const E rstd = rsqrt(variance + b.scalar(c.node.args[4].index, dtype));
  E y = difference * rstd;
  if (c.node.args[2].kind == ir::Arg::Kind::kWindow) {
    y = y * cast(b.load(c.node.args[2].index, vector_strides(rank, kept, c.window(2).sizes, c.window(2).strides)), dtype);
  }
  if (c.node.args[3].kind == ir::Arg::Kind::kWindow) {
    y = y + cast(b.load(c.node.args[3].index, vector_strides(rank, kept, c.window(3).sizes, c.window(3).strides)), dtype);
  }
  b.store(c.node.writes[0], c.write(0).strides, y);
  for (size_t i : {size_t{1}, size_t{2}}) {
    DimVector s = c.write(i).strides;
    std::fill(s.begin() + static_cast<int64_t>(kept), s.end(), 0);
    b.store(c.node.writes[i], s, i == 1 ? mean : rstd);
  }
  b.finish();
  return true;
}

// (grad_out, input, normalized_shape, mean, rstd, weight?, bias?, output_mask)
bool lower_layer_norm_backward(LoweringContext& c) {
  if (!reducible(c)) {
    return false;
  }
  const ir::Window &grad = c.window(0), &in = c.window(1);
  const size_t n = c.node.args[2].value.toIntVector().size(), rank = in.sizes.size(), kept = rank - n;
  const ScalarType dtype = compute_dtype(in.dtype);
  int64_t count = 1;
  for (size_t d = kept; d < rank; ++d) {
    count *= in.sizes[d];
  }
  auto stat = [&](size_t arg) {  // of the kept dims
    DimVector s = c.window(arg).strides;
    s.resize(rank, 0);
    std::fill(s.begin() + static_cast<int64_t>(kept), s.end(), 0);
    return s;
  };
  if (c.node.writes[0] != ir::kNone) {
    LoopBuilder b(c, "layer_norm_backward", in.sizes, kept);
    const E g = cast(b.load(c.node.args[0].index, grad.strides), dtype), x = b.load(c.node.args[1].index, in.strides);
    const E mean = cast(b.load(c.node.args[3].index, stat(3)), dtype), rstd = cast(b.load(c.node.args[4].index, stat(4)), dtype);
    E gw = g;
    if (c.node.args[5].kind == ir::Arg::Kind::kWindow) {
      gw = g * cast(b.load(c.node.args[5].index, vector_strides(rank, kept, c.window(5).sizes, c.window(5).strides)), dtype);
    }
    const E normal = (x - mean) * rstd;
    const E mean_g = sum(gw) / static_cast<double>(count), mean_gx = sum(gw * normal) / static_cast<double>(count);
    b.store(c.node.writes[0], c.write(0).strides, rstd * (gw - mean_g - normal * mean_gx));
    b.finish();
  }
  if (c.node.writes[1] != ir::kNone || c.node.writes[2] != ir::kNone) {
    // Kept: the normalised dims; reduced: the rows.
    auto turn = [&](const DimVector& s) {
      DimVector t(s.begin() + static_cast<int64_t>(kept), s.end());
      t.append(s.begin(), s.begin() + static_cast<int64_t>(kept));
      return t;
    };
    LoopBuilder b(c, "layer_norm_backward_weight", turn(in.sizes), n);
    const E g = cast(b.load(c.node.args[0].index, turn(grad.strides)), dtype), x = b.load(c.node.args[1].index, turn(in.strides));
    const E mean = cast(b.load(c.node.args[3].index, turn(stat(3))), dtype),
            rstd = cast(b.load(c.node.args[4].index, turn(stat(4))), dtype);
    if (c.node.writes[1] != ir::kNone) {
      b.store(c.node.writes[1], vector_strides(rank, 0, c.write(1).sizes, c.write(1).strides), sum(g * ((x - mean) * rstd)));
    }
    if (c.node.writes[2] != ir::kNone) {
      b.store(c.node.writes[2], vector_strides(rank, 0, c.write(2).sizes, c.write(2).strides), sum(g));
    }
    b.finish();
  }
  return true;
}

// Dims of [N, C, spatial...] with C split into groups: N, G | C/G, spatial.
DimVector grouped(const ir::Window& w, int64_t groups, bool as_sizes) {
  DimVector s;
  const int64_t per_group = w.sizes[1] / groups;
  s.push_back(as_sizes ? w.sizes[0] : w.strides[0]);
  s.push_back(as_sizes ? groups : w.strides[1] * per_group);
  s.push_back(as_sizes ? per_group : w.strides[1]);
  for (size_t d = 2; d < w.sizes.size(); ++d) {
    s.push_back(as_sizes ? w.sizes[d] : w.strides[d]);
  }
  return s;
}

DimVector channel_strides(size_t rank, int64_t per_group, int64_t stride) {
  DimVector s(rank, 0);
  s[1] = per_group * stride;
  s[2] = stride;
  return s;
}

bool lower_group_norm(LoweringContext& c) {  // (input, weight?, bias?, N, C, HxW, group, eps)
  if (!reducible(c) || c.window(0).sizes.size() < 2) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const int64_t groups = c.node.args[6].value.toInt(), per_group = in.sizes[1] / groups;
  const DimVector sizes = grouped(in, groups, true);
  const size_t rank = sizes.size();
  const double count = static_cast<double>(in.numel() / (in.sizes[0] * groups));
  const ScalarType dtype = compute_dtype(in.dtype);
  LoopBuilder b(c, "group_norm", sizes, 2);
  const E x = b.load(c.node.args[0].index, grouped(in, groups, false));
  const E mean = sum(x) / count;
  const E difference = x - mean;
  const E rstd = rsqrt(sum(difference * difference) / count + b.scalar(c.node.args[7].index, dtype));
  E y = difference * rstd;
  if (c.node.args[1].kind == ir::Arg::Kind::kWindow) {
    y = y * cast(b.load(c.node.args[1].index, channel_strides(rank, per_group, c.window(1).strides[0])), dtype);
  }
  if (c.node.args[2].kind == ir::Arg::Kind::kWindow) {
    y = y + cast(b.load(c.node.args[2].index, channel_strides(rank, per_group, c.window(2).strides[0])), dtype);
  }
  b.store(c.node.writes[0], grouped(c.write(0), groups, false), y);
  b.store(c.node.writes[1], vector_strides(rank, 0, c.write(1).sizes, c.write(1).strides), mean);
  b.store(c.node.writes[2], vector_strides(rank, 0, c.write(2).sizes, c.write(2).strides), rstd);
  b.finish();
  return true;
}

// (grad_out, input, mean, rstd, weight?, N, C, HxW, group, output_mask)
bool lower_group_norm_backward(LoweringContext& c) {
  if (!reducible(c) || c.window(1).sizes.size() < 2) {
    return false;
  }
  const ir::Window &grad = c.window(0), &in = c.window(1);
  const int64_t groups = c.node.args[8].value.toInt(), per_group = in.sizes[1] / groups;
  const DimVector sizes = grouped(in, groups, true);
  const size_t rank = sizes.size();
  const ScalarType dtype = compute_dtype(in.dtype);
  const double count = static_cast<double>(in.numel() / (in.sizes[0] * groups));
  const DimVector mean_strides = vector_strides(rank, 0, c.window(2).sizes, c.window(2).strides);
  const DimVector rstd_strides = vector_strides(rank, 0, c.window(3).sizes, c.window(3).strides);
  if (c.node.writes[0] != ir::kNone) {
    LoopBuilder b(c, "group_norm_backward", sizes, 2);
    const E g = cast(b.load(c.node.args[0].index, grouped(grad, groups, false)), dtype);
    const E x = b.load(c.node.args[1].index, grouped(in, groups, false));
    const E mean = cast(b.load(c.node.args[2].index, mean_strides), dtype), rstd = cast(b.load(c.node.args[3].index, rstd_strides), dtype);
    E gw = g;
    if (c.node.args[4].kind == ir::Arg::Kind::kWindow) {
      gw = g * cast(b.load(c.node.args[4].index, channel_strides(rank, per_group, c.window(4).strides[0])), dtype);
    }
    const E normal = (x - mean) * rstd;
    b.store(c.node.writes[0], grouped(c.write(0), groups, false), rstd * (gw - sum(gw) / count - normal * (sum(gw * normal) / count)));
    b.finish();
  }
  if (c.node.writes[1] != ir::kNone || c.node.writes[2] != ir::kNone) {
    auto turn = [](const DimVector& s) {  // G, C/G | N, spatial
      DimVector t{s[1], s[2], s[0]};
      t.append(s.begin() + 3, s.end());
      return t;
    };
    LoopBuilder b(c, "group_norm_backward_weight", turn(sizes), 2);
    const E g = cast(b.load(c.node.args[0].index, turn(grouped(grad, groups, false))), dtype);
    const E x = b.load(c.node.args[1].index, turn(grouped(in, groups, false)));
    const E mean = cast(b.load(c.node.args[2].index, turn(mean_strides)), dtype);
    const E rstd = cast(b.load(c.node.args[3].index, turn(rstd_strides)), dtype);
    if (c.node.writes[1] != ir::kNone) {
      b.store(c.node.writes[1], turn(channel_strides(rank, per_group, c.write(1).strides[0])), sum(g * ((x - mean) * rstd)));
    }
    if (c.node.writes[2] != ir::kNone) {
      b.store(c.node.writes[2], turn(channel_strides(rank, per_group, c.write(2).strides[0])), sum(g));
    }
    b.finish();
  }
  return true;
}

// [N, C, spatial...] with the channels first: C | N, spatial.
DimVector channels_first(const DimVector& s) {
  DimVector t{s[1], s[0]};
  t.append(s.begin() + 2, s.end());
  return t;
}

DimVector per_channel(size_t rank, int64_t stride) {
  DimVector s(rank, 0);
  s[0] = stride;
  return s;
}

// (input, weight?, bias?, running_mean?, running_var?, training, momentum, eps). The running statistics, when given, are written in
// training: the node is mutating, its writes are those windows and then the three returns.
bool lower_batch_norm(LoweringContext& c) {
  if (!reducible(c)) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const bool training = c.node.args[5].value.toBool();
  const bool has_running = c.node.args[3].kind == ir::Arg::Kind::kWindow && c.node.args[4].kind == ir::Arg::Kind::kWindow;
  if ((!training && !has_running) || c.node.writes.size() != (has_running ? 5u : 3u)) {
    return false;
  }
  const size_t first = has_running ? 2 : 0;  // the returns among the writes
  const DimVector sizes = channels_first(in.sizes);
  const size_t rank = sizes.size();
  const ScalarType dtype = compute_dtype(in.dtype);
  const double count = static_cast<double>(in.numel() / in.sizes[1]);
  LoopBuilder b(c, "batch_norm", sizes, 1);
  const E x = b.load(c.node.args[0].index, channels_first(in.strides));
  const E eps = b.scalar(c.node.args[7].index, dtype);
  auto channel = [&](size_t arg) { return cast(b.load(c.node.args[arg].index, per_channel(rank, c.window(arg).strides[0])), dtype); };
  E mean, invstd, difference;
  if (training) {
    mean = sum(x) / count;
    difference = x - mean;
    const E variance = sum(difference * difference) / count;
    invstd = rsqrt(variance + eps);
    if (has_running) {
      const E momentum = b.scalar(c.node.args[6].index, dtype);
      const E unbiased = variance * (count / std::max(1.0, count - 1));
      b.store(c.node.writes[0], per_channel(rank, c.write(0).strides[0]), channel(3) * (1.0 - momentum) + mean * momentum);
      b.store(c.node.writes[1], per_channel(rank, c.write(1).strides[0]), channel(4) * (1.0 - momentum) + unbiased * momentum);
    }
    b.store(c.node.writes[first + 1], per_channel(rank, c.write(first + 1).strides[0]), mean);
    b.store(c.node.writes[first + 2], per_channel(rank, c.write(first + 2).strides[0]), invstd);
  } else {
    mean = channel(3);
    difference = x - mean;
    invstd = rsqrt(channel(4) + eps);
  }
  E y = difference * invstd;
  if (c.node.args[1].kind == ir::Arg::Kind::kWindow) {
    y = y * channel(1);
  }
  if (c.node.args[2].kind == ir::Arg::Kind::kWindow) {
    y = y + channel(2);
  }
  b.store(c.node.writes[first], channels_first(c.write(first).strides), y);
  b.finish();
  return true;
}

// (grad_out, input, weight?, running_mean?, running_var?, save_mean?, save_invstd?, train, eps, output_mask)
bool lower_batch_norm_backward(LoweringContext& c) {
  if (!reducible(c)) {
    return false;
  }
  const ir::Window &grad = c.window(0), &in = c.window(1);
  const bool training = c.node.args[7].value.toBool();
  const size_t mean_arg = training ? 5 : 3, scale_arg = training ? 6 : 4;
  if (c.node.args[mean_arg].kind != ir::Arg::Kind::kWindow || c.node.args[scale_arg].kind != ir::Arg::Kind::kWindow) {
    return false;
  }
  const DimVector sizes = channels_first(in.sizes);
  const size_t rank = sizes.size();
  const ScalarType dtype = compute_dtype(in.dtype);
  const double count = static_cast<double>(in.numel() / in.sizes[1]);
  LoopBuilder b(c, "batch_norm_backward", sizes, 1);
  auto channel = [&](size_t arg) { return cast(b.load(c.node.args[arg].index, per_channel(rank, c.window(arg).strides[0])), dtype); };
  const E g = cast(b.load(c.node.args[0].index, channels_first(grad.strides)), dtype);
  const E x = b.load(c.node.args[1].index, channels_first(in.strides));
  const E invstd = training ? channel(scale_arg) : rsqrt(channel(scale_arg) + b.scalar(c.node.args[8].index, dtype));
  const E normal = (x - channel(mean_arg)) * invstd;
  const E sum_g = sum(g), sum_gx = sum(g * normal);
  if (c.node.writes[0] != ir::kNone) {
    const E scale = c.node.args[2].kind == ir::Arg::Kind::kWindow ? invstd * channel(2) : invstd;
    const E result = training ? scale * (g - sum_g / count - normal * (sum_gx / count)) : g * scale;
    b.store(c.node.writes[0], channels_first(c.write(0).strides), result);
  }
  if (c.node.writes[1] != ir::kNone) {
    b.store(c.node.writes[1], per_channel(rank, c.write(1).strides[0]), sum_gx);
  }
  if (c.node.writes[2] != ir::kNone) {
    b.store(c.node.writes[2], per_channel(rank, c.write(2).strides[0]), sum_g);
  }
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> reduction_lowerings() {
  return {
      {"sum", &lower_fold<Fold::kSum, false>},
      {"sum.dim_IntList", &lower_fold<Fold::kSum, true>},
      {"mean", &lower_fold<Fold::kMean, false>},
      {"mean.dim", &lower_fold<Fold::kMean, true>},
      {"prod", &lower_fold<Fold::kProd, false>},
      {"prod.dim_int", &lower_fold<Fold::kProd, true>},
      {"amax", &lower_fold<Fold::kMax, true>},
      {"amin", &lower_fold<Fold::kMin, true>},
      {"max", &lower_fold<Fold::kMax, false>},
      {"min", &lower_fold<Fold::kMin, false>},
      {"any", &lower_fold<Fold::kAny, false>},
      {"any.dim", &lower_fold<Fold::kAny, true>},
      {"all", &lower_fold<Fold::kAll, false>},
      {"all.dim", &lower_fold<Fold::kAll, true>},
      {"argmax", &lower_arg<Op::kReduceArgMax>},
      {"argmin", &lower_arg<Op::kReduceArgMin>},
      {"max.dim", &lower_values_and_indices<Op::kReduceMax, Op::kReduceArgMax>},
      {"min.dim", &lower_values_and_indices<Op::kReduceMin, Op::kReduceArgMin>},
      {"var.correction", &lower_var<false, false>},
      {"std.correction", &lower_var<true, false>},
      {"var_mean.correction", &lower_var<false, true>},
      {"std_mean.correction", &lower_var<true, true>},
      {"logsumexp", &lower_logsumexp},
      {"linalg_vector_norm", &lower_vector_norm},
      {"norm.ScalarOpt_dim", &lower_vector_norm},
      {"_softmax", &lower_softmax<false>},
      {"_log_softmax", &lower_softmax<true>},
      {"_softmax_backward_data", &lower_softmax_backward<false>},
      {"_log_softmax_backward_data", &lower_softmax_backward<true>},
      {"native_layer_norm", &lower_layer_norm},
      {"native_layer_norm_backward", &lower_layer_norm_backward},
      {"native_group_norm", &lower_group_norm},
      {"native_group_norm_backward", &lower_group_norm_backward},
      {"native_batch_norm", &lower_batch_norm},
      {"native_batch_norm_backward", &lower_batch_norm_backward},
  };
}

}  // namespace torch_hpu::compiler
