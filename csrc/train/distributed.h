// Training on several processes: gradients that are summed over all ranks while the backward pass goes on, and rows of an evaluation that come from
// all of them.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch_hpu/distributed.h>
#include <torch_hpu/training_data.h>

#include <memory>
#include <vector>

namespace torch_hpu::train {

// Joins the group of the environment when WORLD_SIZE is above 1 and the process has none yet. Whether there are several ranks.
bool join_process_group(int64_t timeout_seconds);

// Rank 0's values into the parameters and buffers of all.
void broadcast_module(const std::vector<at::Tensor>& parameters, const std::vector<at::Tensor>& buffers);

// Sums the gradients of a step over all ranks, in buckets: a bucket goes off when the last of its gradients is there, last layers first, so that it
// travels while earlier layers are computed. Each bucket ends a graph of the device: with one bucket the first is forward, backward and the bucket, the
// second what take() and the optimizer do. The number of items and the loss travel at the end of the last bucket. Which parameters have gradients at all
// is agreed on in the first step and must not change.
class GradientReducer {
 public:
  // parameters: in the order of the forward pass. keep_gradients: gradients stay in the tensors they are in, which exist from the beginning; otherwise
  // they become views of buckets.
  GradientReducer(const std::vector<at::Tensor>& parameters, int64_t bucket_bytes, bool keep_gradients);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // Before the last backward pass of a step. overlap: buckets go off during it. items, loss (0-dim, float32): the number of items of this rank in the
  // step, and the sum of their losses; gradients are of that sum. They are read when the last bucket goes off. Throws a failure of the step before
  // that has become known.
  void start(bool overlap, const at::Tensor& items, const at::Tensor& loss);
  // After it. The sums over all ranks, for take().
  std::vector<at::Tensor> finish();
  // Afterwards gradients are those of the mean over all ranks' items; returns the mean of the losses. Records work on tensors only.
  at::Tensor take(const std::vector<at::Tensor>& sums);

 private:
  struct Bucket;
  struct State;
  std::shared_ptr<State> state_;  // the hooks' too
};

// Whether a backward pass has reached a parameter. kept: its gradient is a tensor of zeros that was there before, see empty_gradient().
bool has_gradient(const at::Tensor& parameter, bool kept);
// Zeros that has_gradient() tells from a gradient.
at::Tensor empty_gradient(const at::Tensor& parameter);

// The rows rank, rank + world_size, ... of a dataset.
class RankShare final : public Sampler {
 public:
  RankShare(int64_t size, int64_t rank, int64_t world_size);
  int64_t size() const override;
  std::vector<int64_t> indices(int64_t epoch) const override;
  std::string describe() const override;

 private:
  int64_t size_, rank_, world_size_;
};

// rows [n, ...] on the CPU: of this rank's RankShare of `total` examples. All ranks' rows in the dataset's order; dims that differ from rank to rank
// are padded with -100.
at::Tensor gather_rows(const at::Tensor& rows, int64_t total);

}  // namespace torch_hpu::train
