// Rules of reductions, normalisations, matrix products, convolutions, pooling, indexing and losses.
#include <ATen/ExpandUtils.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/WrapDimUtilsMulti.h>
#include <ATen/native/ConvUtils.h>
#include <c10/core/DefaultDtype.h>
#include <c10/util/strides.h>

#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {
namespace {

TensorMeta contiguous(c10::ScalarType dtype, c10::IntArrayRef sizes) {
  TensorMeta m;
  m.dtype = dtype;
  m.sizes.assign(sizes.begin(), sizes.end());
  const auto s = c10::contiguous_strides(sizes);
  m.strides.assign(s.begin(), s.end());
  return m;
}

TensorMeta undefined() {
  TensorMeta m;
  m.defined = false;
  return m;
}

// Dense, with the dims in the memory order of `w` (what empty_like makes).
TensorMeta like(const Window& w, std::optional<c10::ScalarType> dtype = std::nullopt) {
  TensorMeta m{true, dtype.value_or(w.dtype), w.sizes, {}};
  const auto s = at::infer_dense_strides(w.sizes, w.strides);
  m.strides.assign(s.begin(), s.end());
  return m;
}

bool is_channels_last(const Window& w) {
  return w.sizes.size() == 4 && c10::is_channels_last_strides_2d(w.sizes, w.strides) &&
         !c10::IntArrayRef(w.strides).equals(c10::contiguous_strides(w.sizes));
}

TensorMeta image(c10::ScalarType dtype, c10::IntArrayRef sizes, bool channels_last) {
  TensorMeta m = contiguous(dtype, sizes);
  if (channels_last && sizes.size() == 4) {
    const auto s = c10::get_channels_last_strides_2d(sizes);
    m.strides.assign(s.begin(), s.end());
  }
  return m;
}

std::vector<int64_t> expand(const c10::IValue& v, size_t n) {
  std::vector<int64_t> values = v.toIntVector();
  if (values.size() == 1) {
    values.resize(n, values[0]);
  }
  return values;
}

void check_dims(InferContext& c, size_t arg, size_t dims, const char* what) {
  TORCH_CHECK(c.is_tensor(arg) && c.window(arg).sizes.size() == dims, "[", c.op.name, "] ", what, ": got ",
              c.is_tensor(arg) ? c.window(arg).sizes.size() : 0, " dims, expected ", dims);
}

void check_same_dtype(InferContext& c, size_t a, size_t b) {
  TORCH_CHECK(c.window(a).dtype == c.window(b).dtype, "[", c.op.name, "] tensors differ in dtype: got ", c.window(a).dtype, " and ",
              c.window(b).dtype, ", expected one dtype");
}

void check_inner(InferContext& c, const Window& a, const Window& b, int64_t k, int64_t k2) {
  TORCH_CHECK(k == k2, "[", c.op.name, "] inner dimensions differ: got ", c10::IntArrayRef(a.sizes), " and ", c10::IntArrayRef(b.sizes),
              ", expected ", k, " == ", k2);
}

}  // namespace

void reduction(InferContext& c, Reduced kind, int dtype_arg) {
  const Window& w = c.window(0);
  const auto n = static_cast<int64_t>(w.sizes.size());
  std::vector<int64_t> dims;
  bool keepdim = false;
  if (c.args.size() > 1 && static_cast<int>(1) != dtype_arg && c.args[1].kind == Arg::Kind::kConst) {
    const c10::IValue& v = c.value(1);
    dims = v.isInt() ? std::vector<int64_t>{v.toInt()} : v.isIntList() ? v.toIntVector() : std::vector<int64_t>{};
  }
  if (c.args.size() > 2 && dtype_arg != 2 && c.args[2].kind == Arg::Kind::kConst && c.value(2).isBool()) {
    keepdim = c.value(2).toBool();
  }
  const auto mask = at::dim_list_to_bitset(dims, static_cast<size_t>(n));
  TensorMeta m;
  for (int64_t d = 0; d < n; ++d) {
    const bool reduced = dims.empty() || mask[static_cast<size_t>(d)];
    if (!reduced) {
      m.sizes.push_back(w.sizes[static_cast<size_t>(d)]);
    } else if (keepdim) {
      m.sizes.push_back(1);
    }
    if (reduced && (kind == Reduced::kSame || kind == Reduced::kLong)) {
      TORCH_CHECK_INDEX(w.sizes[static_cast<size_t>(d)] != 0, "[", c.op.name,
                        "] expected a dimension of size 1 or more to reduce, got size 0"
                        " in ",
                        c10::IntArrayRef(w.sizes));
    }
  }
  m.dtype = w.dtype;
  if (dtype_arg >= 0 && c.args[static_cast<size_t>(dtype_arg)].kind == Arg::Kind::kConst) {
    m.dtype = static_cast<c10::ScalarType>(c.value(static_cast<size_t>(dtype_arg)).toInt());
  } else if (kind == Reduced::kSum && c10::isIntegralType(w.dtype, true)) {
    m.dtype = c10::ScalarType::Long;
  } else if (kind == Reduced::kBool) {
    m.dtype = w.dtype == c10::ScalarType::Byte ? c10::ScalarType::Byte : c10::ScalarType::Bool;
  } else if (kind == Reduced::kLong) {
    m.dtype = c10::ScalarType::Long;
  }
  if (kind == Reduced::kMean) {
    TORCH_CHECK(c10::isFloatingType(m.dtype) || c10::isComplexType(m.dtype), "[", c.op.name, "] got dtype ", m.dtype,
                ", expected a floating point or complex dtype. Pass dtype= or convert the input.");
  }
  const auto s = c10::contiguous_strides(m.sizes);
  m.strides.assign(s.begin(), s.end());
  c.returns.push_back(m);
}

void var_correction(InferContext& c) {
  TensorMeta m;
  const Window& w = c.window(0);
  TORCH_CHECK(c10::isFloatingType(w.dtype) || c10::isComplexType(w.dtype), "[", c.op.name, "] got dtype ", w.dtype,
              ", expected a floating point dtype");
  const std::vector<int64_t> dims = c.args[1].kind == Arg::Kind::kConst ? c.value(1).toIntVector() : std::vector<int64_t>{};
  const bool keepdim = c.args[3].kind == Arg::Kind::kConst && c.value(3).toBool();
  const auto mask = at::dim_list_to_bitset(dims, w.sizes.size());
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    if (!(dims.empty() || mask[d])) {
      m.sizes.push_back(w.sizes[d]);
    } else if (keepdim) {
      m.sizes.push_back(1);
    }
  }
  c.returns.push_back(contiguous(c10::toRealValueType(w.dtype), m.sizes));
}

void var_mean_correction(InferContext& c) {
  var_correction(c);
  TensorMeta mean = c.returns[0];
  mean.dtype = c.window(0).dtype;
  c.returns.push_back(mean);
}

void vector_norm(InferContext& c) {  // (self, ord, dim?, keepdim, dtype?)
  const Window& w = c.window(0);
  const std::vector<int64_t> dims = c.args[2].kind == Arg::Kind::kConst ? c.value(2).toIntVector() : std::vector<int64_t>{};
  const bool keepdim = c.value(3).toBool();
  const auto mask = at::dim_list_to_bitset(dims, w.sizes.size());
  DimVector sizes;
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    if (!(dims.empty() || mask[d])) {
      sizes.push_back(w.sizes[d]);
    } else if (keepdim) {
      sizes.push_back(1);
    }
  }
  const c10::ScalarType dtype =
      c.args.size() > 4 && c.args[4].kind == Arg::Kind::kConst ? static_cast<c10::ScalarType>(c.value(4).toInt()) : w.dtype;
  TORCH_CHECK(c10::isFloatingType(dtype) || c10::isComplexType(dtype), "[", c.op.name, "] got dtype ", dtype,
              ", expected a floating point or complex dtype");
  c.returns.push_back(contiguous(c10::toRealValueType(dtype), sizes));
}

void values_and_indices(InferContext& c) {
  reduction(c, Reduced::kSame, -1);
  TensorMeta indices = c.returns[0];
  indices.dtype = c10::ScalarType::Long;
  c.returns.push_back(indices);
}

void softmax(InferContext& c) {  // (self, dim, half_to_float)
  const Window& w = c.window(0);
  at::maybe_wrap_dim(c.value(1).toInt(), static_cast<int64_t>(w.sizes.size()));
  TORCH_CHECK(c10::isFloatingType(w.dtype), "[", c.op.name, "] got dtype ", w.dtype, ", expected a floating point dtype");
  TORCH_CHECK(!c.value(2).toBool(), "[", c.op.name, "] half to float conversion is not supported on hpu");
  c.returns.push_back(contiguous(w.dtype, w.sizes));
}

void softmax_backward(InferContext& c) {  // (grad_output, output, dim, input_dtype)
  const Window& g = c.window(0);
  c.returns.push_back(contiguous(static_cast<c10::ScalarType>(c.value(3).toInt()), g.sizes));
}

void layer_norm(InferContext& c) {  // (input, normalized_shape, weight?, bias?, eps)
  const Window& w = c.window(0);
  const std::vector<int64_t> shape = c.value(1).toIntVector();
  const size_t n = shape.size(), rank = w.sizes.size();
  TORCH_CHECK(n > 0 && n <= rank && std::equal(shape.begin(), shape.end(), w.sizes.end() - static_cast<int64_t>(n)), "[", c.op.name,
              "] normalized_shape ", shape, " does not match the last dimensions of the input ", c10::IntArrayRef(w.sizes));
  DimVector stat(w.sizes.begin(), w.sizes.end() - static_cast<int64_t>(n));
  stat.append(n, 1);
  c.returns.push_back(contiguous(w.dtype, w.sizes));
  const bool mixed = c.is_tensor(2) && c.window(2).dtype != w.dtype;
  const c10::ScalarType stat_dtype = mixed ? c.window(2).dtype : w.dtype;
  c.returns.push_back(contiguous(stat_dtype, stat));
  c.returns.push_back(contiguous(stat_dtype, stat));
}

void layer_norm_backward(InferContext& c) {  // (grad_out, input, normalized_shape, mean, rstd, weight?, bias?, output_mask)
  const auto mask = c.value(7).toBoolList();
  const Window& x = c.window(1);
  const std::vector<int64_t> shape = c.value(2).toIntVector();
  c.returns.push_back(mask[0] ? contiguous(x.dtype, x.sizes) : undefined());
  c.returns.push_back(mask[1] && c.is_tensor(5) ? contiguous(c.window(5).dtype, shape) : undefined());
  c.returns.push_back(mask[2] && c.is_tensor(6) ? contiguous(c.window(6).dtype, shape) : undefined());
}

void group_norm(InferContext& c) {  // (input, weight?, bias?, N, C, HxW, group, eps)
  const Window& w = c.window(0);
  const int64_t n = c.value(3).toInt(), groups = c.value(6).toInt();
  c.returns.push_back(image(w.dtype, w.sizes, is_channels_last(w)));
  c.returns.push_back(contiguous(w.dtype, {n, groups}));
  c.returns.push_back(contiguous(w.dtype, {n, groups}));
}

void group_norm_backward(InferContext& c) {  // (grad_out, input, mean, rstd, weight?, N, C, HxW, group, output_mask)
  const Window& x = c.window(1);
  const auto mask = c.value(9).toBoolList();
  const int64_t channels = c.value(6).toInt();
  c.returns.push_back(mask[0] ? image(x.dtype, x.sizes, is_channels_last(x)) : undefined());
  const c10::ScalarType dtype = c.is_tensor(4) ? c.window(4).dtype : x.dtype;
  c.returns.push_back(mask[1] ? contiguous(dtype, {channels}) : undefined());
  c.returns.push_back(mask[2] ? contiguous(dtype, {channels}) : undefined());
}

void batch_norm(InferContext& c) {  // (input, weight?, bias?, running_mean?, running_var?, training, momentum, eps)
  const Window& w = c.window(0);
  TORCH_CHECK(w.sizes.size() >= 2, "[", c.op.name, "] got an input of ", w.sizes.size(), " dims, expected 2 or more");
  const bool training = c.value(5).toBool();
  c.returns.push_back(image(w.dtype, w.sizes, is_channels_last(w)));
  const c10::ScalarType dtype = c.is_tensor(1) ? c.window(1).dtype : w.dtype;
  const int64_t n = training ? w.sizes[1] : 0;
  c.returns.push_back(contiguous(dtype, {n}));
  c.returns.push_back(contiguous(dtype, {n}));
}

void batch_norm_backward(InferContext& c) {  // (grad_out, input, weight?, running_mean?, running_var?, mean?, invstd?, train, eps, mask)
  const Window& x = c.window(1);
  const auto mask = c.value(9).toBoolList();
  const c10::ScalarType dtype = c.is_tensor(2) ? c.window(2).dtype : x.dtype;
  c.returns.push_back(mask[0] ? image(x.dtype, x.sizes, is_channels_last(x)) : undefined());
  c.returns.push_back(mask[1] ? contiguous(dtype, {x.sizes[1]}) : undefined());
  c.returns.push_back(mask[2] ? contiguous(dtype, {x.sizes[1]}) : undefined());
}

void mm(InferContext& c) {
  check_dims(c, 0, 2, "self");
  check_dims(c, 1, 2, "mat2");
  check_same_dtype(c, 0, 1);
  const Window &a = c.window(0), &b = c.window(1);
  check_inner(c, a, b, a.sizes[1], b.sizes[0]);
  c.returns.push_back(contiguous(a.dtype, {a.sizes[0], b.sizes[1]}));
}

void bmm(InferContext& c) {
  check_dims(c, 0, 3, "self");
  check_dims(c, 1, 3, "mat2");
  check_same_dtype(c, 0, 1);
  const Window &a = c.window(0), &b = c.window(1);
  TORCH_CHECK(a.sizes[0] == b.sizes[0], "[", c.op.name, "] batch sizes differ: got ", c10::IntArrayRef(a.sizes), " and ",
              c10::IntArrayRef(b.sizes));
  check_inner(c, a, b, a.sizes[2], b.sizes[1]);
  c.returns.push_back(contiguous(a.dtype, {a.sizes[0], a.sizes[1], b.sizes[2]}));
}

void addmm(InferContext& c) {  // (self, mat1, mat2, beta, alpha)
  check_dims(c, 1, 2, "mat1");
  check_dims(c, 2, 2, "mat2");
  check_same_dtype(c, 1, 2);
  const Window &a = c.window(1), &b = c.window(2);
  check_inner(c, a, b, a.sizes[1], b.sizes[0]);
  const Window& bias = c.window(0);
  const std::array<int64_t, 2> out{a.sizes[0], b.sizes[1]};
  for (size_t i = 0; i < bias.sizes.size(); ++i) {
    const int64_t s = bias.sizes[bias.sizes.size() - 1 - i];
    TORCH_CHECK(i < 2 && (s == 1 || s == out[1 - i]), "[", c.op.name, "] self of shape ", c10::IntArrayRef(bias.sizes),
                " cannot be broadcast to the result ", c10::IntArrayRef(out));
  }
  c.returns.push_back(contiguous(a.dtype, out));
}

void baddbmm(InferContext& c) {  // (self, batch1, batch2, beta, alpha)
  check_dims(c, 1, 3, "batch1");
  check_dims(c, 2, 3, "batch2");
  check_same_dtype(c, 1, 2);
  const Window &a = c.window(1), &b = c.window(2);
  check_inner(c, a, b, a.sizes[2], b.sizes[1]);
  c.returns.push_back(contiguous(a.dtype, {a.sizes[0], a.sizes[1], b.sizes[2]}));
}

void mv(InferContext& c) {
  check_dims(c, 0, 2, "self");
  check_dims(c, 1, 1, "vec");
  check_same_dtype(c, 0, 1);
  check_inner(c, c.window(0), c.window(1), c.window(0).sizes[1], c.window(1).sizes[0]);
  c.returns.push_back(contiguous(c.window(0).dtype, {c.window(0).sizes[0]}));
}

void dot(InferContext& c) {
  check_dims(c, 0, 1, "self");
  check_dims(c, 1, 1, "tensor");
  check_same_dtype(c, 0, 1);
  check_inner(c, c.window(0), c.window(1), c.window(0).sizes[0], c.window(1).sizes[0]);
  c.returns.push_back(contiguous(c.window(0).dtype, {}));
}

void convolution(InferContext& c) {  // (input, weight, bias?, stride, padding, dilation, transposed, output_padding, groups)
  const Window &x = c.window(0), &w = c.window(1);
  TORCH_CHECK(x.sizes.size() >= 3 && x.sizes.size() == w.sizes.size(), "[", c.op.name, "] got input ", c10::IntArrayRef(x.sizes),
              " and weight ", c10::IntArrayRef(w.sizes), ", expected as many dims in both, at least 3");
  check_same_dtype(c, 0, 1);
  const size_t n = x.sizes.size() - 2;
  const auto stride = expand(c.value(3), n), padding = expand(c.value(4), n), dilation = expand(c.value(5), n);
  const auto output_padding = expand(c.value(7), n);
  const bool transposed = c.value(6).toBool();
  const int64_t groups = c.value(8).toInt();
  const int64_t in_channels = transposed ? w.sizes[0] : w.sizes[1] * groups;
  TORCH_CHECK(x.sizes[1] == in_channels, "[", c.op.name, "] got input ", c10::IntArrayRef(x.sizes), " with ", x.sizes[1],
              " channels, expected ", in_channels, " for weight ", c10::IntArrayRef(w.sizes), " and groups=", groups);
  DimVector out{x.sizes[0], transposed ? w.sizes[1] * groups : w.sizes[0]};
  for (size_t d = 0; d < n; ++d) {
    const int64_t in = x.sizes[d + 2], kernel = dilation[d] * (w.sizes[d + 2] - 1) + 1;
    const int64_t size =
        transposed ? (in - 1) * stride[d] - 2 * padding[d] + kernel + output_padding[d] : (in + 2 * padding[d] - kernel) / stride[d] + 1;
    TORCH_CHECK(transposed || in + 2 * padding[d] >= kernel, "[", c.op.name, "] kernel size can't be greater than the input: got input ",
                c10::IntArrayRef(x.sizes), ", weight ", c10::IntArrayRef(w.sizes), ", padding ", padding[d]);
    out.push_back(size);
  }
  c.returns.push_back(image(x.dtype, out, is_channels_last(x) || is_channels_last(w)));
}

void convolution_backward(InferContext& c) {
  const Window &x = c.window(1), &w = c.window(2);
  const auto mask = c.value(10).toBoolList();
  const bool channels_last = is_channels_last(x) || is_channels_last(w);
  c.returns.push_back(mask[0] ? image(x.dtype, x.sizes, channels_last) : undefined());
  c.returns.push_back(mask[1] ? image(w.dtype, w.sizes, channels_last) : undefined());
  const int64_t channels = c.window(0).sizes[1];
  c.returns.push_back(mask[2] ? contiguous(w.dtype, {channels}) : undefined());
}

namespace {

int64_t pooled(int64_t in, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, bool ceil_mode) {
  const int64_t span = in + 2 * pad - dilation * (kernel - 1) - 1;
  int64_t out = (ceil_mode ? (span + stride - 1) / stride : span / stride) + 1;
  if (ceil_mode && (out - 1) * stride >= in + pad) {
    --out;
  }
  return out;
}

DimVector pool_sizes(InferContext& c, const std::vector<int64_t>& dilation, bool ceil_mode) {
  const Window& x = c.window(0);
  TORCH_CHECK(x.sizes.size() == 3 || x.sizes.size() == 4, "[", c.op.name, "] got an input of ", x.sizes.size(), " dims, expected 3 or 4");
  const auto kernel = expand(c.value(1), 2), padding = expand(c.value(3), 2);
  const auto stride = c.value(2).toIntVector().empty() ? kernel : expand(c.value(2), 2);
  DimVector out(x.sizes.begin(), x.sizes.end() - 2);
  for (size_t d = 0; d < 2; ++d) {
    TORCH_CHECK(padding[d] >= 0 && padding[d] * 2 <= kernel[d], "[", c.op.name, "] pad should be at most half of the kernel size, got pad ",
                padding[d], " and kernel ", kernel[d]);
    const int64_t size = pooled(x.sizes[x.sizes.size() - 2 + d], kernel[d], stride[d], padding[d], dilation[d], ceil_mode);
    TORCH_CHECK(size >= 1, "[", c.op.name, "] the output would be empty: input ", c10::IntArrayRef(x.sizes), ", kernel ", kernel);
    out.push_back(size);
  }
  return out;
}

}  // namespace

void max_pool2d(InferContext& c) {  // (self, kernel_size, stride, padding, dilation, ceil_mode)
  const DimVector out = pool_sizes(c, expand(c.value(4), 2), c.value(5).toBool());
  c.returns.push_back(image(c.window(0).dtype, out, is_channels_last(c.window(0))));
  c.returns.push_back(image(c10::ScalarType::Long, out, is_channels_last(c.window(0))));
}

void max_pool2d_backward(InferContext& c) {
  const Window& x = c.window(1);
  c.returns.push_back(image(x.dtype, x.sizes, is_channels_last(x)));
}

void avg_pool2d(InferContext& c) {  // (self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor?)
  const DimVector out = pool_sizes(c, {1, 1}, c.value(4).toBool());
  c.returns.push_back(image(c.window(0).dtype, out, is_channels_last(c.window(0))));
}

void avg_pool2d_backward(InferContext& c) {
  const Window& x = c.window(1);
  c.returns.push_back(image(x.dtype, x.sizes, is_channels_last(x)));
}

void adaptive_avg_pool2d(InferContext& c) {
  const Window& x = c.window(0);
  const auto size = c.value(1).toIntVector();
  DimVector out(x.sizes.begin(), x.sizes.end() - 2);
  out.append(size.begin(), size.end());
  c.returns.push_back(image(x.dtype, out, is_channels_last(x)));
}

namespace {

void check_index_dtype(InferContext& c, size_t arg) {
  const c10::ScalarType t = c.window(arg).dtype;
  TORCH_CHECK(t == c10::ScalarType::Long || t == c10::ScalarType::Int, "[", c.op.name, "] got an index of dtype ", t,
              ", expected int64 or int32");
}

}  // namespace

void embedding(InferContext& c) {  // (weight, indices, padding_idx, scale_grad_by_freq, sparse)
  check_dims(c, 0, 2, "weight");
  check_index_dtype(c, 1);
  DimVector out = c.window(1).sizes;
  out.push_back(c.window(0).sizes[1]);
  c.returns.push_back(contiguous(c.window(0).dtype, out));
}

void embedding_backward(InferContext& c) {  // (grad_output, indices, num_weights, padding_idx, scale_grad_by_freq)
  check_index_dtype(c, 1);
  const Window& g = c.window(0);
  c.returns.push_back(contiguous(g.dtype, {c.value(2).toInt(), g.sizes.back()}));
}

void index_select(InferContext& c) {  // (self, dim, index)
  check_index_dtype(c, 2);
  const Window &x = c.window(0), &index = c.window(2);
  TORCH_CHECK(index.sizes.size() <= 1, "[", c.op.name, "] index should have 1 dim, got ", index.sizes.size());
  DimVector out = x.sizes;
  if (!out.empty()) {
    out[static_cast<size_t>(at::maybe_wrap_dim(c.value(1).toInt(), static_cast<int64_t>(out.size())))] = index.numel();
  }
  c.returns.push_back(contiguous(x.dtype, out));
}

void gather(InferContext& c) {  // (self, dim, index, sparse_grad)
  TORCH_CHECK(c.window(2).dtype == c10::ScalarType::Long, "[", c.op.name, "] got an index of dtype ", c.window(2).dtype,
              ", expected int64");
  const Window &x = c.window(0), &index = c.window(2);
  TORCH_CHECK(index.numel() == 0 || std::max<size_t>(1, x.sizes.size()) == std::max<size_t>(1, index.sizes.size()), "[", c.op.name,
              "] index has ", index.sizes.size(), " dims, expected as many as self has, ", x.sizes.size());
  const int64_t dim = at::maybe_wrap_dim(c.value(1).toInt(), static_cast<int64_t>(x.sizes.size()));
  for (size_t d = 0; d < std::min(index.sizes.size(), x.sizes.size()); ++d) {
    TORCH_CHECK(static_cast<int64_t>(d) == dim || index.sizes[d] <= x.sizes[d], "[", c.op.name, "] size of index ",
                c10::IntArrayRef(index.sizes), " exceeds self ", c10::IntArrayRef(x.sizes), " apart from dimension ", dim);
  }
  c.returns.push_back(contiguous(x.dtype, index.sizes));
}

void cat(InferContext& c) {  // (tensors, dim)
  const Arg& list = c.args[0];
  const Window* first = nullptr;
  c10::ScalarType dtype = c10::ScalarType::Undefined;
  auto skipped = [](const Window& w) { return w.sizes.size() == 1 && w.sizes[0] == 0; };
  for (uint32_t k = 0; k < list.count; ++k) {
    const Window& w = c.windows[c.list_items[list.index + k]];
    dtype = dtype == c10::ScalarType::Undefined ? w.dtype : c10::promoteTypes(dtype, w.dtype);
    TORCH_CHECK(!w.sizes.empty(), "[", c.op.name, "] zero-dimensional tensor (at position ", k, ") cannot be concatenated");
    if (first == nullptr && !skipped(w)) {
      first = &w;
    }
  }
  TORCH_CHECK(list.count > 0, "[", c.op.name, "] expected a non-empty list of tensors");
  if (first == nullptr) {
    c.returns.push_back(contiguous(dtype, {0}));
    return;
  }
  const auto dim = static_cast<size_t>(at::maybe_wrap_dim(c.value(1).toInt(), static_cast<int64_t>(first->sizes.size())));
  DimVector out = first->sizes;
  out[dim] = 0;
  bool channels_last = true;
  for (uint32_t k = 0; k < list.count; ++k) {
    const Window& w = c.windows[c.list_items[list.index + k]];
    if (skipped(w)) {
      continue;
    }
    channels_last = channels_last && is_channels_last(w);
    TORCH_CHECK(w.sizes.size() == out.size(), "[", c.op.name, "] tensors must have the same number of dimensions: got ", out.size(),
                " and ", w.sizes.size());
    for (size_t d = 0; d < out.size(); ++d) {
      TORCH_CHECK(d == dim || w.sizes[d] == first->sizes[d], "[", c.op.name, "] sizes of tensors must match except in dimension ", dim,
                  ": expected ", c10::IntArrayRef(first->sizes), " but got ", c10::IntArrayRef(w.sizes), " for tensor number ", k);
    }
    out[dim] += w.sizes[dim];
  }
  c.returns.push_back(image(dtype, out, channels_last));
}

void dense_self(InferContext& c) {
  c.returns.push_back(contiguous(c.window(0).dtype, c.window(0).sizes));
}

void empty_like(InferContext& c) {
  c.returns.push_back(like(c.window(0)));
}

void log_sigmoid(InferContext& c) {
  dense_self(c);
  dense_self(c);
}

void from_sizes(InferContext& c, size_t arg) {
  c.returns.push_back(contiguous(c.window(0).dtype, c.value(arg).toIntVector()));
}

void glu(InferContext& c) {  // (self, dim)
  const Window& x = c.window(0);
  TORCH_CHECK(!x.sizes.empty(), "[", c.op.name, "] does not support 0-dimensional tensors");
  Window half = x;
  int64_t& n = half.sizes[static_cast<size_t>(at::maybe_wrap_dim(c.value(1).toInt(), static_cast<int64_t>(x.sizes.size())))];
  TORCH_CHECK(n % 2 == 0, "[", c.op.name, "] halving dimension must be even, but dimension ", c.value(1).toInt(), " is size ", n);
  n /= 2;
  c.returns.push_back(like(half));
}

void upsample_nearest(InferContext& c) {  // (self [N, C, H, W], output_size, scales_h?, scales_w?)
  check_dims(c, 0, 4, "input");
  const Window& x = c.window(0);
  const std::vector<int64_t> size = c.value(1).toIntVector();
  TORCH_CHECK(size.size() == 2 && size[0] > 0 && size[1] > 0 && x.sizes[2] > 0 && x.sizes[3] > 0, "[", c.op.name,
              "] input and output sizes should be greater than 0, but got input ", c10::IntArrayRef(x.sizes), " and output ", size);
  c.returns.push_back(image(x.dtype, DimVector{x.sizes[0], x.sizes[1], size[0], size[1]}, is_channels_last(x)));
}

void loss(InferContext& c) {  // (self, target, reduction)
  pointwise(c, Promote::kCommon, 0);
  if (c.value(2).toInt() != 0) {
    c.returns[0] = contiguous(c.returns[0].dtype, {});
  }
}

void upsample_nearest_backward(InferContext& c) {  // (grad_output, output_size, input_size, scales_h?, scales_w?)
  check_dims(c, 0, 4, "gradient");
  c.returns.push_back(image(c.window(0).dtype, c.value(2).toIntVector(), is_channels_last(c.window(0))));
}

void pixel_shuffle(InferContext& c) {  // (self, factor)
  const Window& x = c.window(0);
  const int64_t r = c.value(1).toInt();
  const size_t n = x.sizes.size();
  TORCH_CHECK(n >= 3, "[", c.op.name, "] expected an input with at least 3 dimensions, but got ", n);
  TORCH_CHECK(r > 0, "[", c.op.name, "] expected a positive upscale_factor, but got ", r);
  TORCH_CHECK(x.sizes[n - 3] % (r * r) == 0, "[", c.op.name,
              "] expected a channel dimension divisible by the square of upscale_factor, but got ", x.sizes[n - 3]);
  DimVector out = x.sizes;
  out[n - 3] /= r * r;
  out[n - 2] *= r;
  out[n - 1] *= r;
  c.returns.push_back(image(x.dtype, out, is_channels_last(x)));
}

void pixel_unshuffle(InferContext& c) {  // (self, factor)
  const Window& x = c.window(0);
  const int64_t r = c.value(1).toInt();
  const size_t n = x.sizes.size();
  TORCH_CHECK(n >= 3, "[", c.op.name, "] expected an input with at least 3 dimensions, but got ", n);
  TORCH_CHECK(r > 0, "[", c.op.name, "] expected a positive downscale_factor, but got ", r);
  TORCH_CHECK(x.sizes[n - 2] % r == 0 && x.sizes[n - 1] % r == 0, "[", c.op.name,
              "] expected height and width divisible by downscale_factor, but got ", x.sizes[n - 2], " and ", x.sizes[n - 1]);
  DimVector out = x.sizes;
  out[n - 3] *= r * r;
  out[n - 2] /= r;
  out[n - 1] /= r;
  c.returns.push_back(image(x.dtype, out, is_channels_last(x)));
}

void cross_entropy(InferContext& c) {  // (self, target, weight?, reduction)
  const Window &x = c.window(0), &y = c.window(1);
  TORCH_CHECK(x.sizes == y.sizes, "[", c.op.name, "] got a target of size ", c10::IntArrayRef(y.sizes), ", expected the input's, ",
              c10::IntArrayRef(x.sizes));
  TORCH_CHECK(x.dtype == y.dtype, "[", c.op.name, "] got a target of dtype ", y.dtype, ", expected the input's, ", x.dtype);
  c.returns.push_back(c.value(3).toInt() != 0 ? contiguous(x.dtype, {}) : like(x));
}

void loss_backward(InferContext& c) {
  c.returns.push_back(like(c.window(1)));
}

void nll_loss_forward(InferContext& c) {  // (self, target, weight?, reduction, ignore_index)
  const Window &x = c.window(0), &t = c.window(1);
  TORCH_CHECK(x.sizes.size() == 1 || x.sizes.size() == 2, "[", c.op.name, "] got an input of ", x.sizes.size(), " dims, expected 1 or 2");
  TORCH_CHECK(t.dtype == c10::ScalarType::Long || t.dtype == c10::ScalarType::Byte, "[", c.op.name, "] got a target of dtype ", t.dtype,
              ", expected int64");
  TORCH_CHECK(x.sizes.size() == 1 || (t.sizes.size() == 1 && t.sizes[0] == x.sizes[0]), "[", c.op.name, "] size mismatch: got input ",
              c10::IntArrayRef(x.sizes), " and target ", c10::IntArrayRef(t.sizes));
  const bool reduce = c.value(3).toInt() != 0 || x.sizes.size() == 1;
  c.returns.push_back(contiguous(x.dtype, reduce ? DimVector{} : DimVector{x.sizes[0]}));
  c.returns.push_back(contiguous(x.dtype, {}));
}

void nll_loss2d_forward(InferContext& c) {  // (self [N, C, H, W], target [N, H, W], weight?, reduction, ignore_index)
  check_dims(c, 0, 4, "input");
  check_dims(c, 1, 3, "target");
  const Window &x = c.window(0), &t = c.window(1);
  TORCH_CHECK(t.dtype == c10::ScalarType::Long || t.dtype == c10::ScalarType::Byte, "[", c.op.name, "] got a target of dtype ", t.dtype,
              ", expected int64");
  TORCH_CHECK(t.sizes[0] == x.sizes[0] && t.sizes[1] == x.sizes[2] && t.sizes[2] == x.sizes[3], "[", c.op.name,
              "] size mismatch: got input ", c10::IntArrayRef(x.sizes), " and target ", c10::IntArrayRef(t.sizes));
  c.returns.push_back(contiguous(x.dtype, c.value(3).toInt() != 0 ? DimVector{} : t.sizes));
  c.returns.push_back(contiguous(x.dtype, {}));
}

void nll_loss_backward(InferContext& c) {  // (grad_output, self, target, weight?, reduction, ignore_index, total_weight)
  c.returns.push_back(contiguous(c.window(1).dtype, c.window(1).sizes));
}

}  // namespace torch_hpu::ir::rules
