// Trains a small Stable Diffusion on the device, with GaudiTrainer: an autoencoder of pictures of handwritten digits, and a UNet with its text encoder
// that draws digits in the autoencoder's latents from prompts such as "a bold handwritten seven, inverted". Saves a folder in diffusers' format.
#include <ATen/CPUGeneratorImpl.h>
#include <torch_hpu/diffusion.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/state_dict.h>
#include <torch_hpu/trainer.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "digit_pictures.h"

namespace {

using torch_hpu::AutoencoderKL;
using torch_hpu::Batch;
using torch_hpu::CLIPTextModel;
using torch_hpu::CLIPTokenizer;
using torch_hpu::ModelOutput;
using torch_hpu::UNet2DConditionModel;

constexpr int64_t kTokens = 24;  // of a prompt
constexpr int64_t kTextWidth = 96;
constexpr int64_t kTimesteps = 1000;

torch_hpu::AutoencoderKLConfig autoencoder_config() {
  torch_hpu::AutoencoderKLConfig config;
  config.block_out_channels = {16, 32, 64};
  config.down_block_types = {3, "DownEncoderBlock2D"};
  config.up_block_types = {3, "UpDecoderBlock2D"};
  config.norm_num_groups = 8;
  config.sample_size = {kPictureSize};
  config.scaling_factor = 1;
  config.force_upcast = false;
  return config;
}

torch_hpu::UNet2DConditionConfig unet_config() {
  torch_hpu::UNet2DConditionConfig config;
  config.sample_size = {kPictureSize / 4};
  config.block_out_channels = {64, 128};
  config.down_block_types = {2, "CrossAttnDownBlock2D"};
  config.up_block_types = {2, "CrossAttnUpBlock2D"};
  config.layers_per_block = {1};
  config.norm_num_groups = 16;
  config.cross_attention_dim = {kTextWidth};
  config.attention_head_dim = {4};
  return config;
}

torch_hpu::CLIPTextConfig text_config(const CLIPTokenizer& tokenizer) {
  torch_hpu::CLIPTextConfig config;
  config.vocab_size = tokenizer.vocab_size();
  config.hidden_size = config.projection_dim = kTextWidth;
  config.intermediate_size = 4 * kTextWidth;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.max_position_embeddings = kTokens;
  config.bos_token_id = tokenizer.bos_token_id();
  config.eos_token_id = tokenizer.eos_token_id();
  config.pad_token_id = tokenizer.pad_token_id();
  return config;
}

// Every scanned digit in every style. Fields: pixel_values [3, 32, 32] in [-1, 1], prompt [] (the number of the style's prompt).
class PictureDataset : public torch_hpu::Dataset {
 public:
  explicit PictureDataset(const ScannedDigits& digits) {
    std::vector<at::Tensor> pictures, prompts;
    for (int number = 0; number < kStyles; ++number) {
      pictures.push_back((draw(digits.images, style_of(number, 0)) * 255).round().to(at::kByte));
      prompts.push_back(digits.labels * kStyles + number);
    }
    pictures_ = at::cat(pictures);
    prompts_ = at::cat(prompts);
  }
  int64_t size() const override {
    return pictures_.size(0);
  }
  torch_hpu::Example get(int64_t index) const override {
    const at::Tensor picture = pictures_[index].to(at::kFloat) / 127.5 - 1;
    return {{"pixel_values", picture.expand({3, kPictureSize, kPictureSize}).contiguous()}, {"prompt", prompts_[index]}};
  }
  // Of all pictures, in their order.
  const at::Tensor& prompts() const {
    return prompts_;
  }

 private:
  at::Tensor pictures_;  // [N, 1, 32, 32] uint8
  at::Tensor prompts_;   // [N]
};

// Reconstruction, and a little divergence so that latents stay near a normal distribution.
ModelOutput autoencoder_loss(AutoencoderKL& vae, const Batch& batch) {
  constexpr double kDivergence = 1e-3;
  const at::Tensor& pictures = batch.at("pixel_values");
  const auto posterior = vae.encode(pictures);
  const at::Tensor difference = vae.decode(posterior.sample()) - pictures;
  return {difference.abs().mean() + difference.square().mean() + kDivergence * posterior.kl().mean() / posterior.mean()[0].numel(), {}};
}

// A UNet and its text encoder, which learn to tell the noise in noisy latents.
struct LatentDiffusion : torch::nn::Module {
  LatentDiffusion(std::shared_ptr<CLIPTextModel> text, std::shared_ptr<UNet2DConditionModel> net, const torch_hpu::TokenBatch& tokens,
                  const at::Tensor& empty_ids)
      : text_encoder(register_module("text_encoder", std::move(text))), unet(register_module("unet", std::move(net))) {
    prompts = register_buffer("prompts", tokens.input_ids);  // [prompts, T]
    empty = register_buffer("empty", empty_ids);             // [1, T]
    const at::Tensor betas = at::linspace(std::sqrt(0.00085), std::sqrt(0.012), kTimesteps, at::kFloat).square();
    alphas = register_buffer("alphas", (1 - betas).cumprod(0));
  }

  // Fields: latents [B, 4, 8, 8], prompt [B]. One prompt in ten is replaced by the empty one, for guidance.
  ModelOutput forward(const Batch& batch) {
    const at::Tensor& latents = batch.at("latents");
    const int64_t size = latents.size(0);
    const at::Tensor noise = at::randn_like(latents), steps = at::randint(kTimesteps, {size}, latents.options().dtype(at::kLong));
    const at::Tensor alpha = alphas.index_select(0, steps).view({size, 1, 1, 1});
    const at::Tensor without_text = at::rand({size, 1}, latents.options()) < 0.1;
    const at::Tensor ids = at::where(without_text, empty, prompts.index_select(0, batch.at("prompt")));
    const at::Tensor predicted = unet->forward(alpha.sqrt() * latents + (1 - alpha).sqrt() * noise, steps, text_encoder->embed(ids));
    return {at::mse_loss(predicted, noise), {}};
  }

  std::shared_ptr<CLIPTextModel> text_encoder;
  std::shared_ptr<UNet2DConditionModel> unet;
  at::Tensor prompts, empty, alphas;
};

// Keeps the moving average of a module's parameters, which draws better than the last ones.
class MovingAverage : public torch_hpu::TrainerCallback {
 public:
  MovingAverage(torch::nn::Module& module, double decay) : module_(module), decay_(decay) {}

  void on_step_end(const torch_hpu::GaudiTrainingArguments&, torch_hpu::TrainerState& state, torch_hpu::TrainerControl&) override {
    const at::NoGradGuard no_grad;
    const auto parameters = module_.parameters();
    if (average_.empty()) {
      for (const at::Tensor& p : parameters) {
        average_.push_back(p.detach().clone());
      }
    }
    const double steps = static_cast<double>(state.global_step);
    at::_foreach_lerp_(average_, parameters, 1 - std::min(decay_, (1 + steps) / (10 + steps)));
    torch_hpu::mark_step();
  }
  void apply() {
    const at::NoGradGuard no_grad;
    const auto parameters = module_.parameters();
    for (size_t i = 0; i < average_.size(); ++i) {
      parameters[i].copy_(average_[i]);
    }
  }

 private:
  torch::nn::Module& module_;
  double decay_;
  std::vector<at::Tensor> average_;
};

// Latents of all pictures, [N, 4, 8, 8] on the CPU: the means of their distributions.
at::Tensor encode_all(AutoencoderKL& vae, const PictureDataset& pictures, c10::Device device) {
  constexpr int64_t kBatch = 256;
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> latents;
  for (int64_t first = 0; first < pictures.size(); first += kBatch) {
    std::vector<int64_t> indices;
    for (int64_t i = first; i < std::min(first + kBatch, pictures.size()); ++i) {
      indices.push_back(i);
    }
    latents.push_back(vae.encode(pictures.get_batch(indices).at("pixel_values").to(device)).mode().cpu());
  }
  return at::cat(latents);
}

template <typename Module>
torch_hpu::TrainerModel trained(std::shared_ptr<Module> module, std::function<ModelOutput(const Batch&)> forward) {
  torch_hpu::TrainerModel model;
  model.module = std::move(module);
  model.forward = std::move(forward);
  return model;
}

int64_t parameters_of(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const at::Tensor& p : module.parameters()) {
    count += p.numel();
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  torch_hpu::GaudiTrainingArguments args;
  args.output_dir = "build/digits_diffusion";
  args.overwrite_output_dir = true;
  args.use_habana = true;
  args.max_steps = 5000;
  args.per_device_train_batch_size = 64;
  args.learning_rate = 1e-3;
  args.lr_scheduler_type = "cosine";
  args.warmup_steps = 100;
  args.weight_decay = 0.01;
  args.adam_beta2 = 0.99;
  args.logging_steps = 100;
  args.save_strategy = "no";
  args.seed = 1;
  int64_t autoencoder_steps = 1200;
  std::string data = "examples/data/digits.safetensors", model_folder = "build/digits_diffusion/model";
  CLI::App app("Trains an autoencoder, and a UNet with its text encoder, to draw digits from prompts.");
  app.add_option("--data", data, "digits file, from tools/make_digits.py")->capture_default_str();
  app.add_option("--model", model_folder, "where to write the model, in diffusers' format")->capture_default_str();
  app.add_option("--autoencoder-steps", autoencoder_steps, "training steps of the autoencoder; --max_steps: of the UNet")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  args.add_options(app);
  CLI11_PARSE(app, argc, argv);
  try {
    if (args.use_cpu) {
      args.use_habana = args.use_lazy_mode = false;
    }
    const auto begin = std::chrono::steady_clock::now();
    const auto pictures = std::make_shared<PictureDataset>(scanned_digits(data, "train"));
    std::printf("%ld pictures of %d styles\n", pictures->size(), kStyles);
    torch::manual_seed(static_cast<uint64_t>(args.seed));

    auto vae = std::make_shared<AutoencoderKL>(autoencoder_config());
    torch_hpu::GaudiTrainingArguments vae_args = args;
    vae_args.max_steps = autoencoder_steps;
    vae_args.learning_rate = 2e-3;
    vae_args.output_dir = args.output_dir + "/autoencoder";
    torch_hpu::TrainerOptions vae_options;
    vae_options.train_dataset = pictures;
    vae_options.label_names = {};
    std::printf("autoencoder: %ld parameters\n", parameters_of(*vae));
    torch_hpu::GaudiTrainer vae_trainer(trained(vae, [&](const Batch& batch) { return autoencoder_loss(*vae, batch); }), {}, vae_args,
                                        vae_options);
    std::printf("autoencoder: loss %.4f\n", vae_trainer.train().training_loss);
    vae->eval();
    const at::Tensor latents = encode_all(*vae, *pictures, args.device());
    torch_hpu::AutoencoderKLConfig config = vae->config();
    config.scaling_factor = 1 / latents.std().item<double>();
    const auto scaled_vae = std::make_shared<AutoencoderKL>(config);
    torch_hpu::load_state_dict(*scaled_vae, torch_hpu::state_dict(*vae));

    const std::vector<std::string> prompts = all_prompts();
    auto tokenizer = std::make_shared<CLIPTokenizer>(CLIPTokenizer::train(prompts, 512 + 160 + 2, kTokens));
    const torch_hpu::TokenizeOptions padded{.max_length = kTokens, .pad_to_max_length = true};
    const auto tokens = (*tokenizer)(prompts, padded), empty = (*tokenizer)({""}, padded);
    const auto text_encoder = std::make_shared<CLIPTextModel>(text_config(*tokenizer));
    const auto unet = std::make_shared<UNet2DConditionModel>(unet_config());
    const auto diffusion = std::make_shared<LatentDiffusion>(text_encoder, unet, tokens, empty.input_ids);
    std::printf("UNet: %ld parameters, text encoder: %ld parameters, %ld tokens\n", parameters_of(*unet), parameters_of(*text_encoder),
                tokenizer->vocab_size());
    torch_hpu::TrainerOptions options;
    const int64_t kinds = 10 * kStyles;
    options.train_dataset = std::make_shared<torch_hpu::TensorDataset>(
        std::map<std::string, at::Tensor>{{"latents", (latents * config.scaling_factor).repeat({2, 1, 1, 1})},
                                          {"prompt", at::cat({pictures->prompts(), pictures->prompts() + kinds})}});
    options.label_names = {};
    const auto average = std::make_shared<MovingAverage>(*diffusion, 0.999);
    options.callbacks = {average};
    args.output_dir += "/unet";
    torch_hpu::GaudiTrainer trainer(trained(diffusion, [&](const Batch& batch) { return diffusion->forward(batch); }), {}, args, options);
    const auto result = trainer.train();
    average->apply();

    torch_hpu::DiffusionComponents parts{tokenizer, text_encoder, unet, scaled_vae,
                                         torch_hpu::DiffusionScheduler::make("DDIMScheduler", R"({"beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1})")};
    for (torch::nn::Module* module : std::initializer_list<torch::nn::Module*>{text_encoder.get(), unet.get(), scaled_vae.get()}) {
      module->to(at::kCPU);
      module->to(at::kHalf);
    }
    torch_hpu::GaudiStableDiffusionPipeline(parts).save_pretrained(model_folder);
    const double minutes = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / 60;
    std::printf("UNet: loss %.4f; %.1f minutes in all; the model is in %s, logs are in %s\n", result.training_loss, minutes,
                model_folder.c_str(), args.output_dir.c_str());
    return 0;
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "%s\n", e.what_without_backtrace());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
  return 1;
}
