// The parts of a generation by diffusion: its noise and batches, guidance, the denoising step as one graph, and its clock. For pipelines, and for
// programs with a loop of their own.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <torch_hpu/diffusion_scheduler.h>
#include <torch_hpu/graphed.h>
#include <torch_hpu/unet_2d_condition.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

// A CPU generator for each seed.
TORCH_HPU_API std::vector<at::Generator> cpu_generators(const std::vector<uint64_t>& seeds);

// Latents and embeddings of a generation, cut into batches of one size, so that every batch replays the same graph.
struct DiffusionBatches {
  std::vector<at::Tensor> latents;     // [B, C, h, w] each
  std::vector<at::Tensor> embeddings;  // [B, T, d], or with guidance [2 * B, T, d]: negative, then positive
  int64_t dummies = 0;                 // images of zeros at the end of the last batch
};

// latents: [N, C, h, w]; embeddings: [N, T, d]; negative: the same, or undefined (no guidance).
TORCH_HPU_API DiffusionBatches split_into_batches(const at::Tensor& latents, const at::Tensor& embeddings, const at::Tensor& negative,
                                                  int64_t batch_size);

// Classifier-free guidance. prediction: [2 * B, ...], negative then positive; scale: a number on the prediction's device, 0-d or [1], so that a
// captured graph takes any. Returns [B, ...]. rescale (0: off) pulls the result's deviation, image by image, to that of the positive half.
TORCH_HPU_API at::Tensor guide(const at::Tensor& prediction, const at::Tensor& scale, double rescale = 0);

struct DiffusionThroughput {
  double runtime_seconds = 0;  // of what is counted
  double samples_per_second = 0;
  double steps_per_second = 0;  // denoising steps of single images; as in the original the time of decoding counts
  double step_seconds = 0;      // of a denoising step of a batch alone, without the warm-up
};

// The clock of a generation of `batches` batches of batch_size images with `steps` steps each, without its warm-up: with more than
// warmup_steps batches, the first warmup_steps batches do not count; otherwise, with more than warmup_steps steps, the first
// warmup_steps steps of each batch count as much as its other ones do on average; otherwise everything counts. Whoever calls it waits
// for the device first where needs_sync() or at the end: the clock reads the host's time only.
class TORCH_HPU_API ThroughputClock {
 public:
  ThroughputClock(int64_t batches, int64_t batch_size, int64_t steps, int64_t warmup_steps = 3);
  // Whether the next call of before_step() reads the clock.
  bool needs_sync(int64_t batch, int64_t step) const;
  void before_step(int64_t batch, int64_t step, double seconds);  // seconds: of any steady clock
  void after_denoising(double seconds);                           // of a batch, before its latents are decoded
  DiffusionThroughput finish(double seconds) const;

 private:
  enum class Case : uint8_t { kBatches, kSteps, kAll };
  int64_t batches_, batch_size_, steps_, warmup_;
  Case case_;
  double start_ = 0, batch_start_ = 0, warm_ = 0;
  int64_t batch_ = 0, counted_steps_ = 0;
  double counted_seconds_ = 0;
  double excluded_ = 0;
};

// What a denoising step works on. All tensors are on the UNet's device.
struct DenoisingInputs {
  at::Tensor latents;             // [B, C, h, w]
  at::Tensor embeddings;          // [B, T, d], or with guidance [2 * B, T, d]
  at::Tensor row;                 // of this step, DiffusionScheduler::step_table()
  std::vector<at::Tensor> state;  // the scheduler's, of these latents
  at::Tensor guidance_scale;      // as guide()'s, or undefined (no guidance)
  at::Tensor noise;               // as the latents, or undefined where the scheduler needs none
  at::Tensor timestep_cond;       // [B, time_cond_proj_dim], or undefined
};

// One denoising step: the UNet, guidance, and what the scheduler makes of the prediction. With graphs it is one HPU Graph for each shape,
// replayed for every step, whatever its row, embeddings and guidance scale hold.
class TORCH_HPU_API DenoisingStep {
 public:
  // graphs: the UNet is on an hpu device. rescale: as guide()'s. autocast: the UNet runs under bfloat16 autocast.
  DenoisingStep(std::shared_ptr<UNet2DConditionModel> unet, std::shared_ptr<DiffusionScheduler> scheduler, bool graphs, double rescale = 0,
                bool autocast = false);

  // Replaces inputs.latents and inputs.state by the next ones. Returns what the UNet predicted, before guidance: [B, C, h, w], or with guidance
  // [2 * B, C, h, w]. Builds no autograd graph.
  at::Tensor operator()(DenoisingInputs& inputs);
  size_t graphs() const;  // how many are held

 private:
  std::vector<at::Tensor> run(const DenoisingInputs& inputs) const;  // {prediction, latents, state...}

  std::shared_ptr<UNet2DConditionModel> unet_;
  std::shared_ptr<DiffusionScheduler> scheduler_;
  bool use_graphs_, autocast_;
  double rescale_;
  GraphCache cache_;
};

}  // namespace torch_hpu
