// Rules of layer, group and batch normalisation.
#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

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
  const c10::ScalarType stat_dtype = c.is_tensor(1) ? c.window(1).dtype : w.dtype;
  c.returns.push_back(contiguous(stat_dtype, {n, groups}));
  c.returns.push_back(contiguous(stat_dtype, {n, groups}));
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
  c10::ScalarType dtype = w.dtype;
  for (size_t arg : {1, 2, 3, 4}) {  // parameters of another dtype: half precision with statistics in float
    dtype = c.is_tensor(arg) && c.window(arg).dtype != w.dtype ? c10::ScalarType::Float : dtype;
  }
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

void weight_norm(InferContext& c) {  // (v, g, dim) -> (w, norm)
  const Window &v = c.window(0), &g = c.window(1);
  const int64_t dim = c.value(2).toInt();
  TORCH_CHECK(dim == 0 || dim == static_cast<int64_t>(v.sizes.size()) - 1, "[", c.op.name, "] got dim ", dim,
              ", expected the first or the last of ", v.sizes.size());
  c.returns.push_back(like(v));
  TensorMeta norm = like(g);
  norm.dtype = g.dtype == c10::ScalarType::BFloat16 ? c10::ScalarType::Float : g.dtype;
  c.returns.push_back(norm);
}

void weight_norm_backward(InferContext& c) {  // (grad_w, saved_v, saved_g, saved_norms, dim)
  c.returns.push_back(like(c.window(1)));
  c.returns.push_back(like(c.window(2)));
}

}  // namespace torch_hpu::ir::rules
