// A call of a pipeline: prompts to embeddings, noise to latents step by step, latents to pictures.
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch_hpu/autocast.h>
#include <torch_hpu/device.h>
#include <torch_hpu/diffusion.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/training_log.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace torch_hpu {

namespace {

constexpr int64_t kWarmupSteps = 3;  // that the line about compilation sums up

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int64_t graphs_made() {
  const auto metrics = metrics_snapshot();
  return static_cast<int64_t>(metrics.at("compilations") + metrics.at("disk_hits"));
}

// Sinusoids of the guidance scale, for UNets that take it as an input. (Meng et al., On Distillation of Guided Diffusion Models.) Returns [rows, dim].
at::Tensor embed_guidance(double guidance_scale, int64_t rows, int64_t dim) {
  const int64_t half = dim / 2;
  const at::Tensor frequencies = at::exp(at::arange(half, at::kFloat) * -(std::log(10000.0) / static_cast<double>(half - 1)));
  const at::Tensor angles = at::full({rows, 1}, (guidance_scale - 1) * 1000, at::kFloat) * frequencies.unsqueeze(0);
  const at::Tensor embedding = at::cat({at::sin(angles), at::cos(angles)}, 1);
  return dim % 2 == 0 ? embedding : at::constant_pad_nd(embedding, {0, 1});
}

// The generators of one batch: its own, or the one of all.
std::vector<at::Generator> of_batch(const std::vector<at::Generator>& generators, int64_t first, int64_t size) {
  if (generators.size() <= 1) {
    return generators;
  }
  const auto begin = std::min<int64_t>(first, static_cast<int64_t>(generators.size()));
  const auto end = std::min<int64_t>(first + size, static_cast<int64_t>(generators.size()));
  return {generators.begin() + begin, generators.begin() + end};
}

}  // namespace

struct DiffusionPipeline::Run {
  const GenerationOptions& options;
  DiffusionScheduler& scheduler;
  DenoisingStep& step;
  c10::Device device;
  at::ScalarType dtype;
  int64_t first_step, steps;
  at::Tensor guidance_scale, timestep_cond;  // on the device
  ThroughputClock clock;
  ProgressBar bar;
  int64_t steps_done = 0;
  int64_t graphs_before;
  double begin = now();
  double warmup_seconds = 0;
  bool interrupted = false;

  void wait() const {
    if (device.type() == kDeviceType) {
      synchronize();
    }
  }
  void say(const std::string& line) const {
    if (!options.quiet) {
      ProgressBar::write(line);
    }
  }
  // Noise for a batch's next step; rows of zeros for images that fill the batch up.
  at::Tensor draw(int64_t batch, at::IntArrayRef shape) const {
    const auto generators = of_batch(options.generators, batch * shape[0], shape[0]);
    std::vector<int64_t> drawn = shape.vec();
    drawn[0] = generators.size() > 1 ? static_cast<int64_t>(generators.size()) : shape[0];
    at::Tensor noise = draw_noise(drawn, generators, dtype, at::kCPU);
    if (drawn[0] < shape[0]) {
      drawn[0] = shape[0] - drawn[0];
      noise = at::cat({noise, at::zeros(drawn, noise.options())});
    }
    return noise.to(device);
  }
};

bool DiffusionPipeline::guided(const GenerationOptions& options) const {
  return options.guidance_scale > 1 && !components_.unet->config().time_cond_proj_dim;
}

at::Tensor DiffusionPipeline::encode_texts(const std::vector<std::string>& texts, std::optional<int64_t> clip_skip, int64_t length) {
  const TokenBatch tokens = (*components_.tokenizer)(texts, {.max_length = length, .pad_to_max_length = true});
  const at::Tensor mask = components_.text_encoder->config().use_attention_mask ? tokens.attention_mask.to(device_) : at::Tensor();
  const Autocast autocast(device_.type(), autocast_);
  return components_.text_encoder->embed(tokens.input_ids.to(device_), clip_skip, mask).to(components_.unet->parameters()[0].scalar_type());
}

std::pair<at::Tensor, at::Tensor> DiffusionPipeline::encode_prompt(const GenerationOptions& options) {
  check_options(options);
  const at::NoGradGuard no_grad;
  const at::ScalarType dtype = components_.unet->parameters()[0].scalar_type();
  const int64_t length = components_.text_encoder->config().max_position_embeddings;
  at::Tensor positive =
      options.prompt_embeds.defined() ? options.prompt_embeds.to(device_, dtype) : encode_texts(options.prompt, options.clip_skip, length);
  at::Tensor negative;
  if (guided(options)) {
    if (options.negative_prompt_embeds.defined()) {
      negative = options.negative_prompt_embeds.to(device_, dtype);
    } else {
      std::vector<std::string> texts = options.negative_prompt.empty() ? std::vector<std::string>{""} : options.negative_prompt;
      texts.resize(static_cast<size_t>(positive.size(0)), texts[0]);
      negative = encode_texts(texts, std::nullopt, positive.size(1));  // as in the original, always the last layer's
    }
    negative = negative.repeat_interleave(options.num_images_per_prompt, 0);
  }
  return {positive.repeat_interleave(options.num_images_per_prompt, 0), negative};
}

DenoisingStep& DiffusionPipeline::step_for(const GenerationOptions& options) {
  if (!step_ || step_rescale_ != options.guidance_rescale) {
    step_ = std::make_unique<DenoisingStep>(components_.unet, components_.scheduler, options_.use_hpu_graphs, options.guidance_rescale,
                                            autocast_);
    step_rescale_ = options.guidance_rescale;
  }
  return *step_;
}

DenoisingInputs DiffusionPipeline::first_inputs(const Run& run, const at::Tensor& latents, const at::Tensor& embeddings) const {
  DenoisingInputs inputs;
  inputs.latents = latents.to(device_);
  inputs.embeddings = embeddings;
  inputs.guidance_scale = run.guidance_scale;
  inputs.timestep_cond = run.timestep_cond;
  inputs.state = run.scheduler.initial_state(inputs.latents);
  return inputs;
}

at::Tensor DiffusionPipeline::denoise(Run& run, DenoisingInputs inputs, int64_t batch) {
  const GenerationOptions& options = run.options;
  for (int64_t step = 0; step < run.steps && !run.interrupted; ++step) {
    const int64_t index = run.first_step + step;
    if (run.clock.needs_sync(batch, step)) {
      run.wait();
    }
    run.clock.before_step(batch, step, now());
    inputs.row = run.scheduler.step_table(index);
    if (run.scheduler.draws_noise(index) || (run.scheduler.needs_noise() && !inputs.noise.defined())) {
      inputs.noise = run.draw(batch, inputs.latents.sizes());
    }
    const at::Tensor prediction = run.step(inputs);
    if (device_.type() == kDeviceType) {
      mark_step();
    }
    ++run.steps_done;
    run.bar.update();
    if (run.steps_done == kWarmupSteps) {
      run.wait();
      run.warmup_seconds = now() - run.begin;
      run.say(c10::str("First ", kWarmupSteps, " steps (compilation and warm-up): ", std::round(run.warmup_seconds * 100) / 100, " s, ",
                       graphs_made() - run.graphs_before, " graphs compiled"));
    }
    if (options.callback && (step + 1) % options.callback_steps == 0) {
      DiffusionProgress progress{batch, step, run.scheduler.timesteps()[index].item<double>(), inputs.latents, prediction};
      run.interrupted = !options.callback(progress);
      TORCH_CHECK(progress.latents.sizes() == inputs.latents.sizes(), "latents that a callback gave have a wrong shape: got ",
                  progress.latents.sizes(), ", expected ", inputs.latents.sizes());
      inputs.latents = progress.latents.to(device_, run.dtype);
    }
    run.interrupted = run.interrupted || interrupt_.load();
  }
  return inputs.latents;
}

at::Tensor DiffusionPipeline::decode(const at::Tensor& latents, DiffusionOutput type) {
  if (type == DiffusionOutput::kLatents) {
    return latents.cpu();
  }
  AutoencoderKL& vae = *components_.vae;
  at::Tensor images;
  {
    const Autocast autocast(device_.type(), autocast_);
    images = vae.decode(vae.unscale(latents).to(vae.parameters()[0].scalar_type()));
  }
  return type == DiffusionOutput::kImages ? to_images(images) : to_image_arrays(images);
}

GaudiStableDiffusionPipelineOutput DiffusionPipeline::generate(const GenerationOptions& options, const MakeStart& start) {
  const at::NoGradGuard no_grad;
  interrupt_ = false;
  const int64_t graphs_before = graphs_made();
  const auto [positive, negative] = encode_prompt(options);
  const int64_t images = positive.size(0);
  TORCH_CHECK(options.generators.size() <= 1 || static_cast<int64_t>(options.generators.size()) == images,
              "[GaudiStableDiffusionPipeline] number of generators is wrong: got ", options.generators.size(), ", expected one or ",
              images);

  DiffusionScheduler& scheduler = *components_.scheduler;
  scheduler.set_eta(options.eta);
  if (options.timesteps.empty()) {
    scheduler.set_timesteps(options.num_inference_steps, device_);
  } else {
    scheduler.set_timesteps(std::vector<double>(options.timesteps.begin(), options.timesteps.end()), device_);
  }
  const Start first = start(images, positive.scalar_type());
  const int64_t steps = scheduler.steps() - first.first_step;
  const DiffusionBatches batches = split_into_batches(first.latents, positive, negative, options.batch_size);
  const auto count = static_cast<int64_t>(batches.latents.size());
  const bool guides = guided(options);
  const auto time_cond = components_.unet->config().time_cond_proj_dim;

  ProgressBarOptions bar;
  bar.total = count * steps;
  bar.disable = options.disable_progress_bar;
  Run run{.options = options,
          .scheduler = scheduler,
          .step = step_for(options),
          .device = device_,
          .dtype = positive.scalar_type(),
          .first_step = first.first_step,
          .steps = steps,
          .guidance_scale = guides ? at::full({1}, options.guidance_scale, at::kFloat).to(device_) : at::Tensor(),
          .timestep_cond = time_cond
                               ? embed_guidance(options.guidance_scale, options.batch_size, *time_cond).to(device_, positive.scalar_type())
                               : at::Tensor(),
          .clock = ThroughputClock(count, options.batch_size, steps, options.throughput_warmup_steps),
          .bar = ProgressBar(bar),
          .graphs_before = graphs_before};
  run.say(c10::str(images / options.num_images_per_prompt, " prompt(s) received, ", options.num_images_per_prompt,
                   " generation(s) per prompt, ", options.batch_size, " sample(s) per batch, ", count, " total batch(es)."));

  std::vector<at::Tensor> results;
  for (int64_t batch = 0; batch < count && !run.interrupted; ++batch) {
    const auto index = static_cast<size_t>(batch);
    const at::Tensor latents = denoise(run, first_inputs(run, batches.latents[index], batches.embeddings[index]), batch);
    run.wait();
    run.clock.after_denoising(now());
    const int64_t real = options.batch_size - (batch + 1 == count ? batches.dummies : 0);
    results.push_back(decode(latents, options.output_type).narrow(0, 0, real));
  }
  run.wait();
  GaudiStableDiffusionPipelineOutput output;
  output.metrics = run.clock.finish(now());
  output.throughput = output.metrics.samples_per_second;
  output.images = at::cat(results);
  output.interrupted = run.interrupted;
  output.warmup_seconds = run.warmup_seconds;
  output.graphs_compiled = graphs_made() - graphs_before;
  Log speed;
  speed.set("generation_runtime", output.metrics.runtime_seconds);
  speed.set("generation_samples_per_second", output.metrics.samples_per_second);
  speed.set("generation_steps_per_second", output.metrics.steps_per_second);
  run.bar.close();
  run.say("Speed metrics: " + format_log(speed));
  return output;
}

}  // namespace torch_hpu
