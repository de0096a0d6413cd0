// Pipelines: what they are made of, what they accept, and where their latents come from.
#include <ATen/Functions.h>
#include <torch_hpu/device.h>
#include <torch_hpu/diffusion.h>

#include <utility>

namespace torch_hpu {

namespace {

constexpr const char* kName = "[GaudiStableDiffusionPipeline] ";

int64_t scale_factor(const AutoencoderKL& vae) {
  return int64_t{1} << (vae.config().block_out_channels.size() - 1);
}

// Pipelines do not clip samples, and count steps from 1, whatever the file of the scheduler says: as diffusers' do.
std::shared_ptr<DiffusionScheduler> adapt(const std::shared_ptr<DiffusionScheduler>& scheduler) {
  const bool fits = scheduler->config().steps_offset == 1 && !scheduler->config().clip_sample;
  return fits ? scheduler : scheduler->changed(R"({"steps_offset": 1, "clip_sample": false})");
}

void check_components(const DiffusionComponents& parts) {
  TORCH_CHECK(parts.tokenizer && parts.text_encoder && parts.unet && parts.vae && parts.scheduler, kName,
              "a component is missing, expected tokenizer, text_encoder, unet, vae and scheduler");
  const auto& unet = parts.unet->config();
  TORCH_CHECK(parts.tokenizer->vocab_size() <= parts.text_encoder->config().vocab_size, kName,
              "tokenizer and text_encoder do not fit: got ", parts.tokenizer->vocab_size(), " tokens, expected at most ",
              parts.text_encoder->config().vocab_size);
  for (const int64_t size : unet.cross_attention_dim) {
    TORCH_CHECK(size == parts.text_encoder->config().hidden_size, kName, "text_encoder and unet do not fit: got embeddings of ",
                parts.text_encoder->config().hidden_size, " and cross_attention_dim ", size);
  }
  TORCH_CHECK(unet.in_channels == parts.vae->config().latent_channels, kName, "vae and unet do not fit: got ",
              parts.vae->config().latent_channels, " latent channels, and a unet with in_channels ", unet.in_channels);
  TORCH_CHECK(unet.in_channels == unet.out_channels, kName, "unet does not predict what it is given: got in_channels ", unet.in_channels,
              " and out_channels ", unet.out_channels);
}

void check_pipeline_options(const DiffusionPipelineOptions& options) {
  TORCH_CHECK_VALUE(options.use_habana || !options.use_hpu_graphs, kName, "use_hpu_graphs is set without use_habana");
  TORCH_CHECK_VALUE(options.use_habana || !options.gaudi_config, kName, "gaudi_config is given without use_habana");
  TORCH_CHECK_VALUE(!options.gaudi_config || !options.gaudi_config->autocast_bf16_ops, kName,
                    "autocast_bf16_ops and autocast_fp32_ops are not supported: the device casts by its own lists");
}

}  // namespace

DiffusionPipeline::DiffusionPipeline(DiffusionComponents components, DiffusionPipelineOptions options)
    : components_(std::move(components)), options_(std::move(options)), device_(options_.use_habana ? kDevice : c10::Device(c10::kCPU)) {
  check_pipeline_options(options_);
  check_components(components_);
  autocast_ = options_.gaudi_config && options_.gaudi_config->use_torch_autocast && !options_.bf16_full_eval;
  components_.scheduler = adapt(components_.scheduler);
  for (torch::nn::Module* module :
       std::initializer_list<torch::nn::Module*>{components_.text_encoder.get(), components_.unet.get(), components_.vae.get()}) {
    module->eval();
    if (options_.bf16_full_eval) {
      module->to(at::kBFloat16);
    }
    module->to(device_);
  }
}

DiffusionPipeline::~DiffusionPipeline() = default;

void DiffusionPipeline::interrupt() {
  interrupt_ = true;
}

size_t DiffusionPipeline::graphs() const {
  return step_ ? step_->graphs() : 0;
}

void DiffusionPipeline::set_scheduler(const std::string& class_name) {
  components_.scheduler = adapt(components_.scheduler->switched(class_name));
  step_.reset();
}

void DiffusionPipeline::enable_vae_slicing() {
  components_.vae->enable_slicing();
}

void DiffusionPipeline::disable_vae_slicing() {
  components_.vae->enable_slicing(false);
}

void DiffusionPipeline::enable_vae_tiling() {
  components_.vae->enable_tiling();
}

void DiffusionPipeline::disable_vae_tiling() {
  components_.vae->enable_tiling(false);
}

void DiffusionPipeline::check_options(const GenerationOptions& options) const {
  const auto& embeds = options.prompt_embeds;
  const auto& negative_embeds = options.negative_prompt_embeds;
  TORCH_CHECK_VALUE(options.prompt.empty() || !embeds.defined(), kName, "both prompt and prompt_embeds are given, expected one of them");
  TORCH_CHECK_VALUE(!options.prompt.empty() || embeds.defined(), kName, "neither prompt nor prompt_embeds is given, expected one of them");
  TORCH_CHECK_VALUE(options.negative_prompt.empty() || !negative_embeds.defined(), kName,
                    "both negative_prompt and negative_prompt_embeds are given, expected at most one of them");
  const int64_t hidden = components_.text_encoder->config().hidden_size;
  TORCH_CHECK_VALUE(!embeds.defined() || (embeds.dim() == 3 && embeds.size(0) > 0 && embeds.size(2) == hidden), kName,
                    "prompt_embeds have a wrong shape: got ", embeds.sizes(), ", expected [P, T, ", hidden, "]");
  const int64_t prompts = embeds.defined() ? embeds.size(0) : static_cast<int64_t>(options.prompt.size());
  TORCH_CHECK_VALUE(!negative_embeds.defined() || !embeds.defined() || negative_embeds.sizes() == embeds.sizes(), kName,
                    "negative_prompt_embeds have a wrong shape: got ", negative_embeds.sizes(), ", expected ", embeds.sizes());
  TORCH_CHECK_VALUE(
      !negative_embeds.defined() || (negative_embeds.dim() == 3 && negative_embeds.size(0) == prompts && negative_embeds.size(2) == hidden),
      kName, "negative_prompt_embeds have a wrong shape: got ", negative_embeds.sizes(), ", expected [", prompts, ", T, ", hidden, "]");
  const auto negatives = static_cast<int64_t>(options.negative_prompt.size());
  TORCH_CHECK_VALUE(negatives <= 1 || negatives == prompts, kName, "number of negative prompts is wrong: got ", negatives,
                    ", expected none, one, or one for each of ", prompts, " prompts");
  constexpr int64_t kMostPixels = 1 << 14;
  for (const auto& [name, size] : {std::pair("height", options.height), std::pair("width", options.width)}) {
    TORCH_CHECK_VALUE(size >= 0 && size % 8 == 0 && size <= kMostPixels, kName, name, " is not possible: got ", size,
                      ", expected a multiple of 8 of at most ", kMostPixels, ", or 0 for the model's own");
  }
  TORCH_CHECK_VALUE(options.num_images_per_prompt > 0 && options.num_images_per_prompt <= 1'000'000, kName,
                    "num_images_per_prompt is not possible: got ", options.num_images_per_prompt, ", expected 1 to 1000000");
  TORCH_CHECK_VALUE(options.batch_size > 0, kName, "batch_size is not possible: got ", options.batch_size, ", expected at least 1");
  TORCH_CHECK_VALUE(options.timesteps.empty() ? options.num_inference_steps > 0 : true, kName, "num_inference_steps is not possible: got ",
                    options.num_inference_steps, ", expected at least 1");
  TORCH_CHECK_VALUE(options.callback_steps > 0, kName, "callback_steps is not possible: got ", options.callback_steps,
                    ", expected at least 1");
  TORCH_CHECK_VALUE(std::isfinite(options.guidance_scale), kName, "guidance_scale is not possible: got ", options.guidance_scale,
                    ", expected a finite number");
  TORCH_CHECK_VALUE(options.guidance_rescale >= 0 && options.guidance_rescale <= 1, kName, "guidance_rescale is not possible: got ",
                    options.guidance_rescale, ", expected 0 to 1");
  TORCH_CHECK_VALUE(options.eta >= 0 && options.eta <= 1, kName, "eta is not possible: got ", options.eta, ", expected 0 to 1");
  TORCH_CHECK_VALUE(
      !options.clip_skip || (*options.clip_skip >= 0 && *options.clip_skip < components_.text_encoder->config().num_hidden_layers), kName,
      "clip_skip is not possible: got ", options.clip_skip.value_or(0), ", expected 0 to ",
      components_.text_encoder->config().num_hidden_layers - 1);
  TORCH_CHECK_VALUE(options.throughput_warmup_steps >= 0, kName, "throughput_warmup_steps is not possible: got ",
                    options.throughput_warmup_steps, ", expected at least 0");
}

GaudiStableDiffusionPipeline::GaudiStableDiffusionPipeline(DiffusionComponents components, DiffusionPipelineOptions options)
    : DiffusionPipeline(std::move(components), std::move(options)) {}

std::shared_ptr<GaudiStableDiffusionPipeline> GaudiStableDiffusionPipeline::from_pretrained(const std::string& folder,
                                                                                            DiffusionPipelineOptions options,
                                                                                            const std::string& variant) {
  auto [components, with_config] = load(folder, std::move(options), variant);
  return std::make_shared<GaudiStableDiffusionPipeline>(std::move(components), std::move(with_config));
}

GaudiStableDiffusionPipelineOutput GaudiStableDiffusionPipeline::operator()(const GenerationOptions& options) {
  return generate(options, [&](int64_t images, at::ScalarType dtype) -> Start {
    const auto& unet = components().unet->config();
    const int64_t factor = scale_factor(*components().vae);
    const auto side = [&](int64_t pixels, size_t dim) {
      TORCH_CHECK_VALUE(pixels > 0 || !unet.sample_size.empty(), kName, "height and width are not given, and the unet has no sample_size");
      return pixels > 0 ? pixels / factor : unet.sample_size[std::min(dim, unet.sample_size.size() - 1)];
    };
    const std::vector<int64_t> shape{images, unet.in_channels, side(options.height, 0), side(options.width, 1)};
    TORCH_CHECK_VALUE(shape[2] > 0 && shape[3] > 0, kName, "images are too small: got ", options.height, " x ", options.width,
                      " pixels, expected at least ", factor);
    TORCH_CHECK_VALUE(!options.latents.defined() || options.latents.sizes() == shape, kName, "latents have a wrong shape: got ",
                      options.latents.sizes(), ", expected ", shape);
    const at::Tensor noise =
        options.latents.defined() ? options.latents.to(at::kCPU, dtype) : draw_noise(shape, options.generators, dtype, at::kCPU);
    return {noise * components().scheduler->init_noise_sigma(), 0};
  });
}

GaudiStableDiffusionImg2ImgPipeline::GaudiStableDiffusionImg2ImgPipeline(DiffusionComponents components, DiffusionPipelineOptions options)
    : DiffusionPipeline(std::move(components), std::move(options)) {}

std::shared_ptr<GaudiStableDiffusionImg2ImgPipeline> GaudiStableDiffusionImg2ImgPipeline::from_pretrained(const std::string& folder,
                                                                                                          DiffusionPipelineOptions options,
                                                                                                          const std::string& variant) {
  auto [components, with_config] = load(folder, std::move(options), variant);
  return std::make_shared<GaudiStableDiffusionImg2ImgPipeline>(std::move(components), std::move(with_config));
}

GaudiStableDiffusionPipelineOutput GaudiStableDiffusionImg2ImgPipeline::operator()(const at::Tensor& image, double strength,
                                                                                   const GenerationOptions& options) {
  TORCH_CHECK_VALUE(strength > 0 && strength <= 1, kName, "strength is not possible: got ", strength, ", expected more than 0, at most 1");
  return generate(options, [&](int64_t images, at::ScalarType dtype) -> Start {
    const at::Tensor latents = encode_image(image, images, options.generators, dtype);
    DiffusionScheduler& scheduler = *components().scheduler;
    // Of the steps that were asked for: a schedule may have more (PNDM).
    const int64_t steps = options.timesteps.empty() ? options.num_inference_steps : static_cast<int64_t>(options.timesteps.size());
    const int64_t first = std::max<int64_t>(steps - static_cast<int64_t>(static_cast<double>(steps) * strength), 0);
    TORCH_CHECK_VALUE(first < scheduler.steps(), kName, "strength leaves no step to do: got ", strength, " of ", steps, " steps");
    scheduler.set_begin_index(first);
    const at::Tensor noise = draw_noise(latents.sizes(), options.generators, dtype, at::kCPU);
    return {scheduler.add_noise(latents, noise, first), first};
  });
}

// uint8 [M, H, W, 3] or [H, W, 3], float [M, 3, H, W] in [0, 1], or latents [M, C, h, w] -> latents [images, C, h, w] on the CPU.
at::Tensor GaudiStableDiffusionImg2ImgPipeline::encode_image(const at::Tensor& image, int64_t images,
                                                             const std::vector<at::Generator>& generators, at::ScalarType dtype) {
  AutoencoderKL& vae = *components().vae;
  at::Tensor pixels = image.cpu();
  if (pixels.scalar_type() == at::kByte) {
    pixels = pixels.dim() == 3 ? pixels.unsqueeze(0) : pixels;
    TORCH_CHECK_VALUE(pixels.dim() == 4 && pixels.size(3) == 3, kName, "image has a wrong shape: got Byte ", image.sizes(),
                      ", expected [H, W, 3] or [M, H, W, 3]");
    pixels = pixels.permute({0, 3, 1, 2}).to(at::kFloat) / 255;
  }
  const int64_t channels = vae.config().in_channels, latent_channels = vae.config().latent_channels;
  TORCH_CHECK_VALUE(pixels.dim() == 4 && pixels.is_floating_point() && pixels.size(0) > 0 &&
                        (pixels.size(1) == channels || pixels.size(1) == latent_channels),
                    kName, "image has a wrong shape or type: got ", image.scalar_type(), " ", image.sizes(), ", expected floats [M, ",
                    channels, ", H, W], or latents [M, ", latent_channels, ", h, w]");
  TORCH_CHECK_VALUE(images % pixels.size(0) == 0, kName, "number of images to start from does not fit: got ", pixels.size(0), " for ",
                    images, " images to make");
  const auto repeat = [&](const at::Tensor& t) { return t.repeat({images / t.size(0), 1, 1, 1}); };
  if (pixels.size(1) == latent_channels && latent_channels != channels) {
    return repeat(pixels.to(dtype));
  }
  const int64_t factor = scale_factor(vae);
  TORCH_CHECK_VALUE(pixels.size(2) % factor == 0 && pixels.size(3) % factor == 0, kName, "image has sides that the vae cannot halve: got ",
                    image.sizes(), ", expected multiples of ", factor);
  const auto encode = [&](const at::Tensor& some, std::optional<at::Generator> generator) {
    const at::Tensor input = (some * 2 - 1).to(device(), vae.parameters()[0].scalar_type());
    return vae.scale(vae.encode(input).sample(generator)).to(at::kCPU, dtype);
  };
  if (generators.size() <= 1) {
    return repeat(encode(pixels, generators.empty() ? std::nullopt : std::optional(generators[0])));
  }
  pixels = repeat(pixels);
  std::vector<at::Tensor> latents;
  for (int64_t i = 0; i < images; ++i) {
    latents.push_back(encode(pixels.narrow(0, i, 1), generators[static_cast<size_t>(i)]));
  }
  return at::cat(latents);
}

}  // namespace torch_hpu
