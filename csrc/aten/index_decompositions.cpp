// Ops on positions that ATen implements by kernels of their own on accelerators, in terms of gathers, scatters and cumulative sums.
#include <ATen/ExpandUtils.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/clamp_max.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "csrc/aten/kernels.h"
#include "csrc/support/counters.h"

namespace torch_hpu::aten {
namespace {

// The number of set elements in front of each one of a mask, as a line.
at::Tensor places(const at::Tensor& mask) {
  return mask.reshape(-1).to(at::kLong).cumsum(0) - 1;
}

}  // namespace

at::Tensor& masked_scatter_(at::Tensor& self, const at::Tensor& mask, const at::Tensor& source) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "[masked_scatter_] got a mask of dtype ", mask.scalar_type(), ", expected bool");
  TORCH_CHECK(self.scalar_type() == source.scalar_type(), "[masked_scatter_] got a source of dtype ", source.scalar_type(),
              ", expected self's, ", self.scalar_type());
  if (source.numel() == 0 || self.numel() == 0) {
    return self;
  }
  const at::Tensor wide = mask.expand(self.sizes());
  const at::Tensor from = at::where(wide.reshape(-1), places(wide), 0);
  return self.copy_(at::where(wide, source.reshape(-1).index_select(0, from).view(self.sizes()), self));
}

at::Tensor masked_scatter(const at::Tensor& self, const at::Tensor& mask, const at::Tensor& source) {
  at::Tensor result = self.expand(at::infer_size(self.sizes(), mask.sizes())).clone();
  return masked_scatter_(result, mask, source);
}

// The gradients of the elements that were written, in their order, at the front of a source of these sizes.
at::Tensor masked_scatter_backward(const at::Tensor& grad_output, const at::Tensor& mask, c10::IntArrayRef sizes) {
  const int64_t n = c10::multiply_integers(sizes);
  const at::Tensor wide = mask.expand(grad_output.sizes());
  const at::Tensor to = at::where(wide.reshape(-1), at::clamp_max(places(wide), n), n);  // n: behind the source
  return at::zeros(n + 1, grad_output.options()).index_copy(0, to, grad_output.reshape(-1)).narrow(0, 0, n).clone().view(sizes);
}

// Which element of `repeats` each of the results repeats. Their number depends on data, unless the caller knows it.
at::Tensor repeat_interleave(const at::Tensor& repeats, std::optional<int64_t> output_size) {
  TORCH_CHECK(repeats.dim() == 1 && at::isIntegralType(repeats.scalar_type(), false), "[repeat_interleave] got repeats of ", repeats.dim(),
              " dims and dtype ", repeats.scalar_type(), ", expected one dim of int64 or int32");
  if (!output_size) {
    count(Counter::kBreakingCalls);
    count_detail(Counter::kBreakingCalls, "aten::repeat_interleave.Tensor");
    return at::repeat_interleave(repeats.cpu()).to(repeats.device());
  }
  const at::Tensor ends = repeats.to(at::kLong).cumsum(0), places = at::arange(*output_size, ends.options());
  return at::searchsorted(ends, places, /*out_int32=*/false, /*right=*/true).to(repeats.scalar_type());
}

at::Tensor trace(const at::Tensor& self) {
  TORCH_CHECK(self.dim() == 2, "[trace] expected a matrix, got ", self.dim(), " dims");
  return self.diagonal().sum();
}

namespace {

at::Tensor unpool(const at::Tensor& self, const at::Tensor& indices, c10::IntArrayRef output_size, int64_t n) {
  TORCH_CHECK(indices.scalar_type() == at::kLong && indices.sizes().equals(self.sizes()), "[max_unpool] got indices of dtype ",
              indices.scalar_type(), " and size ", indices.sizes(), ", expected int64 and the input's, ", self.sizes());
  TORCH_CHECK(self.dim() == n + 1 || self.dim() == n + 2, "[max_unpool] got an input of ", self.dim(), " dims, expected ", n + 1, " or ",
              n + 2);
  TORCH_CHECK(static_cast<int64_t>(output_size.size()) == n, "[max_unpool] got an output size of ", output_size.size(), " dims, expected ",
              n);
  const int64_t planes = c10::multiply_integers(self.sizes().slice(0, self.dim() - n)), points = c10::multiply_integers(output_size);
  c10::DimVector sizes(self.sizes().begin(), self.sizes().end() - n);
  sizes.append(output_size.begin(), output_size.end());
  const at::Tensor zeros = at::zeros({planes, points}, self.options());
  return zeros.scatter(1, indices.reshape({planes, -1}), self.reshape({planes, -1})).view(sizes);
}

}  // namespace

at::Tensor max_unpool2d(const at::Tensor& self, const at::Tensor& indices, c10::IntArrayRef output_size) {
  return unpool(self, indices, output_size, 2);
}

at::Tensor max_unpool3d(const at::Tensor& self, const at::Tensor& indices, c10::IntArrayRef output_size, c10::IntArrayRef,
                        c10::IntArrayRef) {
  return unpool(self, indices, output_size, 3);
}

}  // namespace torch_hpu::aten
