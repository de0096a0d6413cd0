// Bags of embeddings in plain ops: which bag a row belongs to is a cumulative sum, rows are gathered and added to (or compared in) their bags. ATen's
// own accelerator kernels are fused; here the compiler sees gathers, scatters and the arithmetic between them.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "csrc/aten/kernels.h"

namespace torch_hpu::aten {
namespace {

enum Mode : int64_t { kSum = 0, kMean = 1, kMax = 2 };

at::Tensor column(const at::Tensor& t) {
  return t.unsqueeze(1);
}

// The bag of every index, [N].
at::Tensor bag_of_index(const at::Tensor& indices, const at::Tensor& offsets) {
  const int64_t n = indices.size(0);
  const at::Tensor starts = at::zeros(n + 1, offsets.options()).index_add(0, offsets, at::ones(offsets.sizes(), offsets.options()));
  return starts.narrow(0, 0, n).cumsum(0) - 1;
}

// The source row of each element of each bag's maximum, [B, D]; 0 for empty bags.
at::Tensor maximum_indices(const at::Tensor& rows, const at::Tensor& bags, const at::Tensor& maxima, const at::Tensor& indices) {
  const int64_t n = rows.size(0);
  const at::Tensor order = column(at::arange(n, indices.options())).expand(rows.sizes());
  const at::Tensor candidates = at::where(rows == maxima.index_select(0, bags), order, n);
  const at::Tensor first = at::full(maxima.sizes(), n, indices.options()).index_reduce(0, bags, candidates, "amin");
  const at::Tensor padded = at::zeros(n + 1, indices.options());
  padded.narrow(0, 0, n).copy_(indices);
  return padded.index_select(0, first.reshape(-1)).view(maxima.sizes());
}

}  // namespace

// -> (output [B, D], bag of each index [N], number of indices of each bag [B], for kMax: the row of each maximum [B, D])
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> embedding_bag(const at::Tensor& weight, const at::Tensor& indices,
                                                                         const at::Tensor& offsets, bool, int64_t mode, bool,
                                                                         const std::optional<at::Tensor>& per_sample_weights,
                                                                         bool include_last_offset, int64_t padding_idx) {
  TORCH_CHECK(indices.dim() == 1 && offsets.dim() == 1, "[embedding_bag] got indices of ", indices.dim(), " and offsets of ", offsets.dim(),
              " dims, expected 1 of both");
  const at::Tensor index = indices.to(at::kLong);
  const int64_t bags = offsets.size(0) - (include_last_offset ? 1 : 0), width = weight.size(1);
  const at::Tensor bag = bag_of_index(index, offsets.to(at::kLong).narrow(0, 0, bags)), keep = index != padding_idx;
  const at::Tensor sizes = at::zeros(bags, index.options()).index_add(0, bag, keep.to(at::kLong));
  at::Tensor rows = weight.index_select(0, index);
  if (mode == kMax) {
    rows = at::where(column(keep), rows, -std::numeric_limits<double>::infinity()).to(weight.scalar_type());
    const at::Tensor zeros = at::zeros({bags, width}, weight.options());
    const at::Tensor maxima = zeros.index_reduce(0, bag, rows, "amax", /*include_self=*/false);
    const at::Tensor output = at::where(column(sizes > 0), maxima, zeros);
    return {output, bag, sizes, maximum_indices(rows, bag, output, index)};
  }
  if (per_sample_weights && per_sample_weights->defined()) {
    rows = rows * column(*per_sample_weights);
  }
  at::Tensor output =
      at::zeros({bags, width}, weight.options()).index_add(0, bag, at::where(column(keep), rows, 0.0).to(weight.scalar_type()));
  if (mode == kMean) {
    output = output / column(sizes.clamp_min(1));
  }
  return {output, bag, sizes, sizes};
}

at::Tensor embedding_bag_dense_backward(const at::Tensor& grad, const at::Tensor& indices, const at::Tensor& offset2bag,
                                        const at::Tensor& bag_size, const at::Tensor& maximum_indices, int64_t num_weights,
                                        bool scale_grad_by_freq, int64_t mode, const std::optional<at::Tensor>& per_sample_weights,
                                        int64_t padding_idx) {
  if (mode == kMax) {
    const at::Tensor counted = at::where(column(bag_size > 0), grad, 0.0).to(grad.scalar_type());
    return at::zeros({num_weights, grad.size(1)}, grad.options()).scatter_add(0, maximum_indices, counted);
  }
  at::Tensor rows = (mode == kMean ? grad / column(bag_size.clamp_min(1)) : grad).index_select(0, offset2bag);
  if (per_sample_weights && per_sample_weights->defined()) {
    rows = rows * column(*per_sample_weights);
  }
  return at::embedding_dense_backward(rows, indices, num_weights, padding_idx, scale_grad_by_freq);
}

at::Tensor embedding_bag_backward(const at::Tensor& grad, const at::Tensor& indices, const at::Tensor&, const at::Tensor& offset2bag,
                                  const at::Tensor& bag_size, const at::Tensor& maximum_indices, int64_t num_weights,
                                  bool scale_grad_by_freq, int64_t mode, bool sparse, const std::optional<at::Tensor>& per_sample_weights,
                                  int64_t padding_idx) {
  TORCH_CHECK(!sparse, "[embedding_bag] sparse gradients are not supported on hpu: pass sparse=False");
  return embedding_bag_dense_backward(grad, indices, offset2bag, bag_size, maximum_indices, num_weights, scale_grad_by_freq, mode,
                                      per_sample_weights, padding_idx);
}

at::Tensor embedding_bag_per_sample_weights_backward(const at::Tensor& grad, const at::Tensor& weight, const at::Tensor& indices,
                                                     const at::Tensor&, const at::Tensor& offset2bag, int64_t, int64_t padding_idx) {
  const at::Tensor products = (grad.index_select(0, offset2bag) * weight.index_select(0, indices)).sum(1);
  return at::where(indices != padding_idx, products, 0.0).to(grad.scalar_type());
}

}  // namespace torch_hpu::aten
