// GaudiStableDiffusionPipeline: from prompts (and pictures) to pictures, on hpu (lazily, or by HPU Graphs) and on the CPU, from folders in
// diffusers' format, with the arguments and the algorithm of optimum-habana's pipeline.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <torch_hpu/autoencoder_kl.h>
#include <torch_hpu/clip_text_model.h>
#include <torch_hpu/clip_tokenizer.h>
#include <torch_hpu/ddim_scheduler.h>
#include <torch_hpu/diffusion_images.h>
#include <torch_hpu/diffusion_loop.h>
#include <torch_hpu/diffusion_scheduler.h>
#include <torch_hpu/gaudi_config.h>
#include <torch_hpu/unet_2d_condition.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct DiffusionPipelineOptions {
  bool use_habana = false;                  // the hpu device; otherwise the CPU
  bool use_hpu_graphs = false;              // needs use_habana
  std::optional<GaudiConfig> gaudi_config;  // needs use_habana; use_torch_autocast is what counts
  bool bf16_full_eval = false;              // all weights in bfloat16; autocast is off then
  bool sdp_on_bf16 = false;                 // accepted: attention of bfloat16 values is one call either way
};

struct DiffusionComponents {
  std::shared_ptr<CLIPTokenizer> tokenizer;
  std::shared_ptr<CLIPTextModel> text_encoder;
  std::shared_ptr<UNet2DConditionModel> unet;
  std::shared_ptr<AutoencoderKL> vae;
  std::shared_ptr<DiffusionScheduler> scheduler;
};

enum class DiffusionOutput : uint8_t {
  kImages,   // uint8 [N, H, W, 3]
  kArrays,   // float [N, H, W, 3] in [0, 1]
  kLatents,  // [N, C, h, w], scaled as the UNet has them
};

// After a step of a batch.
struct DiffusionProgress {
  int64_t batch = 0, step = 0;  // from 0
  double timestep = 0;
  at::Tensor latents;  // [B, C, h, w], on the device; a callback may put others of the same shape here
  // What the UNet made of the latents before this step, in front of guidance: [B, C, h, w], or with guidance [2 * B, C, h, w], negative, then
  // positive.
  at::Tensor prediction;
};

struct GenerationOptions {
  // Texts, or their embeddings [P, T, d]; one of both.
  std::vector<std::string> prompt;
  at::Tensor prompt_embeds;
  // One for all or one for each prompt; empty: "". Without effect where guidance_scale is at most 1.
  std::vector<std::string> negative_prompt;
  at::Tensor negative_prompt_embeds;
  int64_t height = 0, width = 0;  // in pixels, multiples of 8; 0: what the UNet was made for
  int64_t num_inference_steps = 50;
  std::vector<int64_t> timesteps;  // instead of num_inference_steps
  double guidance_scale = 7.5;
  double guidance_rescale = 0;
  int64_t num_images_per_prompt = 1;
  int64_t batch_size = 1;  // images that are denoised at once
  double eta = 0;          // of DDIM: 0 is deterministic, 1 is DDPM
  // Of the CPU, one for all images or one for each: equal generators give the pictures that diffusers gives with them. None: the CPU's default one.
  std::vector<at::Generator> generators;
  at::Tensor latents;  // [N, C, h, w], noise of deviation 1 to start from
  std::optional<int64_t> clip_skip;
  DiffusionOutput output_type = DiffusionOutput::kImages;
  // After every callback_steps-th step; returns whether to go on.
  std::function<bool(DiffusionProgress&)> callback;
  int64_t callback_steps = 1;
  int64_t throughput_warmup_steps = 3;
  bool disable_progress_bar = false;  // it is drawn on terminals only
  bool quiet = false;                 // no lines about what is done
};

struct GaudiStableDiffusionPipelineOutput {
  at::Tensor images;  // on the CPU, as output_type says; after an interruption those of the batches that were begun, as far as they came
  bool interrupted = false;
  double throughput = 0;  // metrics.samples_per_second
  DiffusionThroughput metrics;
  double warmup_seconds = 0;    // of the first three steps, compilation included
  int64_t graphs_compiled = 0;  // in this call
};

// What pipelines share. A pipeline is used by one thread at a time; only interrupt() may come from another.
class TORCH_HPU_API DiffusionPipeline {
 public:
  virtual ~DiffusionPipeline();
  DiffusionPipeline(const DiffusionPipeline&) = delete;
  DiffusionPipeline& operator=(const DiffusionPipeline&) = delete;

  // Makes the call that is under way return after its present step, with interrupted set and the latents or pictures as they are.
  void interrupt();

  // model_index.json, the folders of all components, gaudi_config.json. diffusers reads it.
  void save_pretrained(const std::string& folder) const;

  // Another scheduler for the same model: "DDIMScheduler", "EulerDiscreteScheduler" ... with the fields of the present one's config.
  void set_scheduler(const std::string& class_name);

  // How the vae encodes and decodes: one picture at a time; pictures larger than its sample_size in overlapping tiles that are blended. Less
  // memory; tiles give slightly different values. Both are off at first.
  void enable_vae_slicing();
  void disable_vae_slicing();
  void enable_vae_tiling();
  void disable_vae_tiling();

  // [P, T, d] and, with guidance, the negative ones (otherwise undefined); on the device, num_images_per_prompt rows for each prompt.
  std::pair<at::Tensor, at::Tensor> encode_prompt(const GenerationOptions& options);

  const DiffusionComponents& components() const {
    return components_;
  }
  const DiffusionPipelineOptions& options() const {
    return options_;
  }
  c10::Device device() const {
    return device_;
  }
  size_t graphs() const;  // HPU Graphs that are held

 protected:
  DiffusionPipeline(DiffusionComponents components, DiffusionPipelineOptions options);
  static std::pair<DiffusionComponents, DiffusionPipelineOptions> load(const std::string& folder, DiffusionPipelineOptions options,
                                                                       const std::string& variant);

  // A generation's latents at its first step, and where its schedule begins.
  struct Start {
    at::Tensor latents;  // [N, C, h, w], on the CPU
    int64_t first_step = 0;
  };
  using MakeStart = std::function<Start(int64_t images, at::ScalarType dtype)>;  // called when the schedule is set
  GaudiStableDiffusionPipelineOutput generate(const GenerationOptions& options, const MakeStart& start);
  void check_options(const GenerationOptions& options) const;

 private:
  at::Tensor encode_texts(const std::vector<std::string>& texts, std::optional<int64_t> clip_skip, int64_t length);
  bool guided(const GenerationOptions& options) const;
  DenoisingStep& step_for(const GenerationOptions& options);
  struct Run;  // what a call is about
  DenoisingInputs first_inputs(const Run& run, const at::Tensor& latents, const at::Tensor& embeddings) const;
  at::Tensor denoise(Run& run, DenoisingInputs inputs, int64_t batch);
  at::Tensor decode(const at::Tensor& latents, DiffusionOutput type);

  DiffusionComponents components_;
  DiffusionPipelineOptions options_;
  c10::Device device_;
  bool autocast_;
  std::unique_ptr<DenoisingStep> step_;
  double step_rescale_ = 0;
  std::atomic<bool> interrupt_{false};
};

class TORCH_HPU_API GaudiStableDiffusionPipeline : public DiffusionPipeline {
 public:
  // Moves the models to the device. Throws when components are missing or do not fit each other, and for options that contradict each other.
  explicit GaudiStableDiffusionPipeline(DiffusionComponents components, DiffusionPipelineOptions options = {});

  // A folder with model_index.json, scheduler/, tokenizer/, text_encoder/, unet/ and vae/. gaudi_config.json is read if the options have none.
  static std::shared_ptr<GaudiStableDiffusionPipeline> from_pretrained(const std::string& folder, DiffusionPipelineOptions options = {},
                                                                       const std::string& variant = "");

  GaudiStableDiffusionPipelineOutput operator()(const GenerationOptions& options);
};

// From pictures to pictures: noise is added to what the encoder makes of them, and taken away under the prompt.
class TORCH_HPU_API GaudiStableDiffusionImg2ImgPipeline : public DiffusionPipeline {
 public:
  explicit GaudiStableDiffusionImg2ImgPipeline(DiffusionComponents components, DiffusionPipelineOptions options = {});
  static std::shared_ptr<GaudiStableDiffusionImg2ImgPipeline> from_pretrained(const std::string& folder,
                                                                              DiffusionPipelineOptions options = {},
                                                                              const std::string& variant = "");

  // image: uint8 [M, H, W, 3] or [H, W, 3]; float [M, 3, H, W] in [0, 1]; or latents [M, C, h, w]. M divides the number of images that are made.
  // strength: which part of the steps is done, in (0, 1]; 1 leaves little of the image. Sizes and latents of the options are not used.
  GaudiStableDiffusionPipelineOutput operator()(const at::Tensor& image, double strength, const GenerationOptions& options);

 private:
  at::Tensor encode_image(const at::Tensor& image, int64_t images, const std::vector<at::Generator>& generators, at::ScalarType dtype);
};

}  // namespace torch_hpu
