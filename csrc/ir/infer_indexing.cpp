// Rules of ops that move elements by index or by region.
#include <ATen/WrapDimUtils.h>

#include <algorithm>

#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

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

void triangle_indices(InferContext& c, bool upper) {  // (row, col, offset, dtype?, ...)
  const int64_t rows = c.value(0).toInt(), cols = c.value(1).toInt(), offset = c.value(2).toInt();
  TORCH_CHECK(rows >= 0 && cols >= 0, "[", c.op.name, "] row and col must be non-negative: got ", rows, " and ", cols);
  int64_t n = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t left = std::clamp<int64_t>(i + offset + (upper ? 0 : 1), 0, cols);  // columns below the diagonal
    n += upper ? cols - left : left;
  }
  c.returns.push_back(contiguous(c.has(3) ? static_cast<c10::ScalarType>(c.value(3).toInt()) : c10::ScalarType::Long, {2, n}));
}

void multinomial(InferContext& c) {  // (self, num_samples, replacement)
  const Window& p = c.window(0);
  const int64_t n = c.value(1).toInt();
  TORCH_CHECK(p.sizes.size() == 1 || p.sizes.size() == 2, "[", c.op.name, "] prob_dist must be 1 or 2 dim, got ", p.sizes.size());
  TORCH_CHECK(c10::isFloatingType(p.dtype), "[", c.op.name, "] expects floating-point probabilities, got ", p.dtype);
  TORCH_CHECK(n > 0, "[", c.op.name, "] cannot sample n_sample <= 0 samples, got ", n);
  TORCH_CHECK(c.value(2).toBool() || n <= p.sizes.back(), "[", c.op.name,
              "] cannot sample n_sample > prob_dist.size(-1) samples without replacement: got ", n, " of ", p.sizes.back());
  DimVector sizes = p.sizes;
  sizes.back() = n;
  c.returns.push_back(contiguous(c10::ScalarType::Long, sizes));
}

}  // namespace torch_hpu::ir::rules
