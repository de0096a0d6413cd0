// Normalisations, forward and backward. Each is one loop with dependent reductions: rows stay in cache.
#include "csrc/compiler/reduction.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;

bool lower_layer_norm(LoweringContext& c) {  // (input, normalized_shape, weight?, bias?, eps)
  if (!loopable(c)) {
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
  if (!loopable(c)) {
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
  if (!loopable(c) || c.window(0).sizes.size() < 2) {
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
  if (!loopable(c) || c.window(1).sizes.size() < 2) {
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
// training: then the node is mutating, its writes are those windows and then the three returns.
bool lower_batch_norm(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const bool training = c.node.args[5].value.toBool();
  const bool has_running = c.node.args[3].kind == ir::Arg::Kind::kWindow && c.node.args[4].kind == ir::Arg::Kind::kWindow;
  const size_t first = training && has_running ? 2 : 0;  // the returns among the writes
  if ((!training && !has_running) || c.node.writes.size() != first + 3) {
    return false;
  }
  const DimVector sizes = channels_first(in.sizes);
  const size_t rank = sizes.size();
  const ScalarType dtype = compute_dtype(in.dtype);
  const double count = static_cast<double>(in.numel() / in.sizes[1]);
  LoopBuilder b(c, "batch_norm", sizes, 1);
  const E x = b.load(c.node.args[0].index, channels_first(in.strides));
  const E eps = b.scalar(c.node.args[7].index, dtype);
  auto channel = [&](size_t arg) { return cast(b.load(c.node.args[arg].index, per_channel(rank, c.window(arg).strides[0])), dtype); };
  E y;
  const bool has_weight = c.node.args[1].kind == ir::Arg::Kind::kWindow, has_bias = c.node.args[2].kind == ir::Arg::Kind::kWindow;
  if (training) {
    const E mean = sum(x) / count, difference = x - mean;
    const E variance = sum(difference * difference) / count, invstd = rsqrt(variance + eps);
    if (has_running) {
      const E momentum = b.scalar(c.node.args[6].index, dtype);
      const E unbiased = variance * (count / std::max(1.0, count - 1));
      b.store(c.node.writes[0], per_channel(rank, c.write(0).strides[0]), channel(3) * (1.0 - momentum) + mean * momentum);
      b.store(c.node.writes[1], per_channel(rank, c.write(1).strides[0]), channel(4) * (1.0 - momentum) + unbiased * momentum);
    }
    b.store(c.node.writes[first + 1], per_channel(rank, c.write(first + 1).strides[0]), mean);
    b.store(c.node.writes[first + 2], per_channel(rank, c.write(first + 2).strides[0]), invstd);
    y = difference * invstd;
    y = has_weight ? y * channel(1) : y;
    y = has_bias ? y + channel(2) : y;
  } else {  // as ATen: one factor and one summand per channel, which the epilogue pass can move into a convolution
    const E invstd = rsqrt(channel(4) + eps), scale = has_weight ? invstd * channel(1) : invstd, moved = channel(3) * scale;
    y = x * scale + (has_bias ? channel(2) - moved : -moved);
  }
  b.store(c.node.writes[first], channels_first(c.write(first).strides), y);
  b.finish();
  return true;
}

// (grad_out, input, weight?, running_mean?, running_var?, save_mean?, save_invstd?, train, eps, output_mask)
bool lower_batch_norm_backward(LoweringContext& c) {
  if (!loopable(c)) {
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
// (v, g, dim) -> (w, norm): w = v * g / |v|, a norm for each slice along `dim`.
bool lower_weight_norm(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  const ir::Window& v = c.window(0);
  const Split split = Split::all_but(v, c.node.args[2].value.toInt());
  LoopBuilder b(c, "weight_norm", split.sizes(v), 1);
  const E x = b.load(c.node.args[0].index, split.strides(v));
  const E norm = sqrt(sum(x * x));
  b.store(c.node.writes[0], split.strides(c.write(0)),
          x * (cast(b.load(c.node.args[1].index, split.result_strides(c.window(1))), x.dtype()) / norm));
  b.store(c.node.writes[1], split.result_strides(c.write(1)), norm);
  b.finish();
  return true;
}

// (grad_w, saved_v, saved_g, saved_norms, dim) -> (grad_v, grad_g)
bool lower_weight_norm_backward(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  const ir::Window& v = c.window(1);
  const Split split = Split::all_but(v, c.node.args[4].value.toInt());
  LoopBuilder b(c, "weight_norm_backward", split.sizes(v), 1);
  const E x = b.load(c.node.args[1].index, split.strides(v)),
          grad = cast(b.load(c.node.args[0].index, split.strides(c.window(0))), x.dtype());
  const E g = cast(b.load(c.node.args[2].index, split.result_strides(c.window(2))), x.dtype());
  const E norm = cast(b.load(c.node.args[3].index, split.result_strides(c.window(3))), x.dtype());
  const E along = sum(grad * x) / norm;  // the gradient of g: the part of grad along v
  b.store(c.node.writes[0], split.strides(c.write(0)), g / norm * (grad - x * (along / norm)));
  b.store(c.node.writes[1], split.result_strides(c.write(1)), along);
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> norm_lowerings() {
  return {
      {"native_layer_norm", &lower_layer_norm},       {"native_layer_norm_backward", &lower_layer_norm_backward},
      {"native_group_norm", &lower_group_norm},       {"native_group_norm_backward", &lower_group_norm_backward},
      {"native_batch_norm", &lower_batch_norm},       {"native_batch_norm_backward", &lower_batch_norm_backward},
      {"_weight_norm_interface", &lower_weight_norm}, {"_weight_norm_interface_backward", &lower_weight_norm_backward},
  };
}

}  // namespace torch_hpu::compiler
