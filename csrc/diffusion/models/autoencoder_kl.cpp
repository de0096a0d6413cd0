#include <torch_hpu/autoencoder_kl.h>

#include <ATen/Functions.h>

#include <utility>

#include "csrc/diffusion/models/autoencoder_parts.h"
#include "csrc/diffusion/models/pretrained.h"
#include "csrc/diffusion/models/tiling.h"

namespace torch_hpu {

using namespace diffusion;

namespace {

constexpr const char* kNoun = "AutoencoderKL";
constexpr const char* kStem = "diffusion_pytorch_model";
constexpr double kOverlap = 0.25;  // of neighbouring tiles

void check_config(const AutoencoderKLConfig& config) {
  const size_t blocks = config.block_out_channels.size();
  TORCH_CHECK_VALUE(blocks > 0 && blocks <= 32, "[", kNoun, "] block_out_channels must be 1 to 32 numbers: got ", blocks);
  const auto check_types = [&](const char* field, const std::vector<std::string>& types, const std::string& supported) {
    TORCH_CHECK_VALUE(types.size() == blocks, "[", kNoun, "] ", field, " must be as many as block_out_channels: got ", types.size(),
                      ", expected ", blocks);
    for (const std::string& type : types) {
      TORCH_CHECK_VALUE(type == supported, "[", kNoun, "] ", field, " has a type that is not supported: got ", type, ", expected ",
                        supported);
    }
  };
  check_types("down_block_types", config.down_block_types, "DownEncoderBlock2D");
  check_types("up_block_types", config.up_block_types, "UpDecoderBlock2D");
  TORCH_CHECK_VALUE(config.sample_size.size() == 1 || config.sample_size.size() == 2, "[", kNoun,
                    "] sample_size must be one or two numbers: got ", config.sample_size.size());
  TORCH_CHECK_VALUE(config.norm_num_groups > 0, "[", kNoun, "] norm_num_groups must be positive: got ", config.norm_num_groups);
  TORCH_CHECK_VALUE(config.scaling_factor != 0, "[", kNoun, "] scaling_factor must not be 0");
}

std::string same_name(const std::string& name) {
  return name;
}

// Attention's names before diffusers 0.14.
std::string current_name(const std::string& name) {
  if (name.find(".attentions.") == std::string::npos) {
    return name;
  }
  for (const auto& [old_name, new_name] : {std::pair(".query.", ".to_q."), std::pair(".key.", ".to_k."), std::pair(".value.", ".to_v."),
                                           std::pair(".proj_attn.", ".to_out.0.")}) {
    if (const size_t at = name.find(old_name); at != std::string::npos) {
      return name.substr(0, at) + new_name + name.substr(at + std::string(old_name).size());
    }
  }
  return name;
}

void check_input(const char* what, const at::Tensor& x, int64_t channels) {
  TORCH_CHECK_VALUE(x.dim() == 4 && x.size(1) == channels, "[", kNoun, "] ", what, " have a wrong shape: got ", x.sizes(),
                    ", expected [N, ", channels, ", H, W]");
}

// One image at a time, if asked for.
template <typename Function>
at::Tensor apply_sliced(const at::Tensor& x, bool sliced, Function function) {
  if (!sliced || x.size(0) <= 1) {
    return function(x);
  }
  std::vector<at::Tensor> results;
  for (const at::Tensor& image : x.split(1)) {
    results.push_back(function(image));
  }
  return at::cat(results);
}

}  // namespace

DiagonalGaussian::DiagonalGaussian(const at::Tensor& moments) {
  TORCH_CHECK_VALUE(moments.dim() == 4 && moments.size(1) % 2 == 0, "[DiagonalGaussian] moments have a wrong shape: got ", moments.sizes(),
                    ", expected [N, 2 * channels, h, w]");
  const auto halves = moments.chunk(2, 1);
  mean_ = halves[0];
  logvar_ = halves[1].clamp(-30.0, 20.0);
}

at::Tensor DiagonalGaussian::mean() const {
  return mean_;
}

at::Tensor DiagonalGaussian::logvar() const {
  return logvar_;
}

at::Tensor DiagonalGaussian::std() const {
  return at::exp(0.5 * logvar_);
}

at::Tensor DiagonalGaussian::var() const {
  return at::exp(logvar_);
}

at::Tensor DiagonalGaussian::mode() const {
  return mean_;
}

at::Tensor DiagonalGaussian::sample(std::optional<at::Generator> generator) const {
  const c10::Device device = generator ? generator->device() : mean_.device();
  const at::Tensor noise = at::randn(mean_.sizes(), std::move(generator), mean_.options().device(device));
  return mean_ + std() * noise.to(mean_.device());
}

at::Tensor DiagonalGaussian::kl() const {
  return 0.5 * (mean_.square() + var() - 1.0 - logvar_).sum(at::IntArrayRef{1, 2, 3});
}

AutoencoderKL::AutoencoderKL(AutoencoderKLConfig config) : config_(std::move(config)) {
  check_config(config_);
  encoder_ = register_module("encoder", std::make_shared<ImageEncoder>(config_));
  decoder_ = register_module("decoder", std::make_shared<ImageDecoder>(config_));
  const int64_t latent = config_.latent_channels;
  if (config_.use_quant_conv) {
    quant_conv_ = register_module("quant_conv", std::make_shared<Conv2d>(ConvShape{2 * latent, 2 * latent, 1, 1, 0}));
  }
  if (config_.use_post_quant_conv) {
    post_quant_conv_ = register_module("post_quant_conv", std::make_shared<Conv2d>(ConvShape{latent, latent, 1, 1, 0}));
  }
  image_tile_ = config_.sample_size[0];
  latent_tile_ = image_tile_ >> (config_.block_out_channels.size() - 1);
}

AutoencoderKL::~AutoencoderKL() = default;

std::shared_ptr<AutoencoderKL> AutoencoderKL::from_pretrained(const std::string& folder, const std::string& subfolder, at::ScalarType dtype,
                                                              const std::string& variant) {
  const PretrainedFolder source{kNoun, join_path(folder, subfolder), kStem, variant};
  const StandInParameters stand_ins;
  auto model = std::make_shared<AutoencoderKL>(AutoencoderKLConfig::from_json(read_config(source)));
  model->surplus_tensors_ = load_weights(*model, source, dtype, current_name);
  model->eval();
  return model;
}

void AutoencoderKL::save_pretrained(const std::string& folder) const {
  save_weights(*this, {kNoun, folder, kStem, ""}, config_.to_json(), same_name);
}

at::Tensor AutoencoderKL::encode_tile(const at::Tensor& images) const {
  const at::Tensor moments = encoder_->forward(images);
  return quant_conv_ ? quant_conv_->forward(moments) : moments;
}

at::Tensor AutoencoderKL::decode_tile(const at::Tensor& latents) const {
  return decoder_->forward(post_quant_conv_ ? post_quant_conv_->forward(latents) : latents);
}

at::Tensor AutoencoderKL::encode_some(const at::Tensor& images) const {
  if (!tiling_ || (images.size(2) <= image_tile_ && images.size(3) <= image_tile_)) {
    return encode_tile(images);
  }
  const int64_t blend = static_cast<int64_t>(latent_tile_ * kOverlap);
  const Tiling tiling{image_tile_, static_cast<int64_t>(image_tile_ * (1 - kOverlap)), blend, latent_tile_ - blend};
  return apply_tiled(images, tiling, [this](const at::Tensor& tile) { return encode_tile(tile); });
}

at::Tensor AutoencoderKL::decode_some(const at::Tensor& latents) const {
  if (!tiling_ || (latents.size(2) <= latent_tile_ && latents.size(3) <= latent_tile_)) {
    return decode_tile(latents);
  }
  const int64_t blend = static_cast<int64_t>(image_tile_ * kOverlap);
  const Tiling tiling{latent_tile_, static_cast<int64_t>(latent_tile_ * (1 - kOverlap)), blend, image_tile_ - blend};
  return apply_tiled(latents, tiling, [this](const at::Tensor& tile) { return decode_tile(tile); });
}

DiagonalGaussian AutoencoderKL::encode(const at::Tensor& images) {
  check_input("images", images, config_.in_channels);
  return DiagonalGaussian(apply_sliced(images, slicing_, [this](const at::Tensor& some) { return encode_some(some); }));
}

at::Tensor AutoencoderKL::decode(const at::Tensor& latents) {
  check_input("latents", latents, config_.latent_channels);
  return apply_sliced(latents, slicing_, [this](const at::Tensor& some) { return decode_some(some); });
}

at::Tensor AutoencoderKL::forward(const at::Tensor& images, bool sample_posterior, std::optional<at::Generator> generator) {
  const DiagonalGaussian latents = encode(images);
  return decode(sample_posterior ? latents.sample(std::move(generator)) : latents.mode());
}

at::Tensor AutoencoderKL::scale(const at::Tensor& latents) const {
  return config_.shift_factor ? (latents - *config_.shift_factor) * config_.scaling_factor : latents * config_.scaling_factor;
}

at::Tensor AutoencoderKL::unscale(const at::Tensor& latents) const {
  return config_.shift_factor ? latents / config_.scaling_factor + *config_.shift_factor : latents / config_.scaling_factor;
}

void AutoencoderKL::enable_tiling(bool enabled) {
  TORCH_CHECK_VALUE(!enabled || static_cast<int64_t>(latent_tile_ * (1 - kOverlap)) > 0, "[", kNoun,
                    "] sample_size is too small for tiles: got ", image_tile_, " for ", config_.block_out_channels.size(), " blocks");
  tiling_ = enabled;
}

void AutoencoderKL::enable_slicing(bool enabled) {
  slicing_ = enabled;
}

const AutoencoderKLConfig& AutoencoderKL::config() const {
  return config_;
}

const std::vector<std::string>& AutoencoderKL::surplus_tensors() const {
  return surplus_tensors_;
}

}  // namespace torch_hpu
