// What a generation starts from, and its batches.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <torch_hpu/diffusion_loop.h>

#include <algorithm>

namespace torch_hpu {

namespace {

// Rows [first, first + size) of the tensor, with rows of zeros for those behind its end.
at::Tensor rows(const at::Tensor& tensor, int64_t first, int64_t size) {
  const int64_t there = std::min(size, tensor.size(0) - first);
  const at::Tensor part = tensor.narrow(0, first, there);
  if (there == size) {
    return part;
  }
  std::vector<int64_t> shape = tensor.sizes().vec();
  shape[0] = size - there;
  return at::cat({part, at::zeros(shape, tensor.options())});
}

}  // namespace

std::vector<at::Generator> cpu_generators(const std::vector<uint64_t>& seeds) {
  std::vector<at::Generator> generators;
  generators.reserve(seeds.size());
  for (const uint64_t seed : seeds) {
    generators.push_back(at::make_generator<at::CPUGeneratorImpl>(seed));
  }
  return generators;
}

DiffusionBatches split_into_batches(const at::Tensor& latents, const at::Tensor& embeddings, const at::Tensor& negative,
                                    int64_t batch_size) {
  TORCH_CHECK(batch_size > 0, "batch_size is not positive: got ", batch_size);
  TORCH_CHECK(latents.dim() == 4 && latents.size(0) > 0, "latents have a wrong shape: got ", latents.sizes(),
              ", expected [N, C, h, w] with N > 0");
  TORCH_CHECK(embeddings.dim() == 3 && embeddings.size(0) == latents.size(0), "prompt embeddings have a wrong shape: got ",
              embeddings.sizes(), ", expected [", latents.size(0), ", T, d]");
  TORCH_CHECK(!negative.defined() || negative.sizes() == embeddings.sizes(), "negative prompt embeddings have a wrong shape: got ",
              negative.sizes(), ", expected ", embeddings.sizes());
  const int64_t n = latents.size(0);
  const int64_t count = (n - 1) / batch_size + 1;
  DiffusionBatches batches;
  batches.dummies = count * batch_size - n;
  for (int64_t first = 0; first < n; first += batch_size) {
    batches.latents.push_back(rows(latents, first, batch_size));
    const at::Tensor positive = rows(embeddings, first, batch_size);
    batches.embeddings.push_back(negative.defined() ? at::cat({rows(negative, first, batch_size), positive}) : positive);
  }
  return batches;
}

}  // namespace torch_hpu
