// The autoencoder of Stable Diffusion, in diffusers' format: config.json, diffusion_pytorch_model.safetensors, the same tensor names.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

namespace diffusion {
class Conv2d;
class ImageEncoder;
class ImageDecoder;
}  // namespace diffusion

// diffusers' config fields, under the same names and with the same defaults.
struct TORCH_HPU_API AutoencoderKLConfig {
  int64_t in_channels = 3, out_channels = 3;
  std::vector<std::string> down_block_types = {"DownEncoderBlock2D"};
  std::vector<std::string> up_block_types = {"UpDecoderBlock2D"};
  std::vector<int64_t> block_out_channels = {64};
  int64_t layers_per_block = 1;
  std::string act_fn = "silu";
  int64_t latent_channels = 4;
  int64_t norm_num_groups = 32;
  std::vector<int64_t> sample_size = {32};  // height and width, or one number for both; the first is the size of a tile
  double scaling_factor = 0.18215;
  std::optional<double> shift_factor;
  std::optional<std::vector<double>> latents_mean, latents_std;
  bool force_upcast = true;  // for pipelines: half precision is not enough for these weights
  bool use_quant_conv = true, use_post_quant_conv = true;
  bool mid_block_add_attention = true;

  // Throws with the field's name for what is not supported, not known, or of a wrong type or size.
  static AutoencoderKLConfig from_json(const std::string& text);
  std::string to_json() const;  // as diffusers writes it, with every field that it knows
};

// A normal distribution for each element of the latents. All tensors: [N, latent_channels, h, w].
class TORCH_HPU_API DiagonalGaussian {
 public:
  explicit DiagonalGaussian(const at::Tensor& moments);  // [N, 2 * latent_channels, h, w]: means, logarithms of variances
  at::Tensor mean() const;
  at::Tensor logvar() const;  // within [-30, 20]
  at::Tensor std() const;
  at::Tensor var() const;
  at::Tensor mode() const;  // the mean
  // mean + std * noise. A generator of the CPU gives the same noise wherever the latents are; without one: the default of their device.
  at::Tensor sample(std::optional<at::Generator> generator = std::nullopt) const;
  at::Tensor kl() const;  // divergence from the standard normal distribution: [N]

 private:
  at::Tensor mean_, logvar_;
};

class TORCH_HPU_API AutoencoderKL : public torch::nn::Module {
 public:
  // With torch's default initialisation, from the default CPU generator. Throws for configs that do not fit together.
  explicit AutoencoderKL(AutoencoderKLConfig config);
  ~AutoencoderKL() override;

  // As UNet2DConditionModel's. Reads the names that attention had in older files (query, key, value, proj_attn), too.
  static std::shared_ptr<AutoencoderKL> from_pretrained(const std::string& folder, const std::string& subfolder = "",
                                                        at::ScalarType dtype = at::kFloat, const std::string& variant = "");
  void save_pretrained(const std::string& folder) const;

  // Images [N, in_channels, H, W] in [-1, 1] -> latents [N, latent_channels, H / f, W / f] with f = 2^(blocks - 1), not scaled.
  DiagonalGaussian encode(const at::Tensor& images);
  // Latents, not scaled -> images [N, out_channels, h * f, w * f].
  at::Tensor decode(const at::Tensor& latents);
  // decode(encode(images).mode()), or of a sample.
  at::Tensor forward(const at::Tensor& images, bool sample_posterior = false, std::optional<at::Generator> generator = std::nullopt);

  // What a UNet works on: (latents - shift_factor) * scaling_factor, and back.
  at::Tensor scale(const at::Tensor& latents) const;
  at::Tensor unscale(const at::Tensor& latents) const;

  // Images larger than a tile (sample_size) are done in overlapping tiles that are blended: less memory, slightly different values.
  void enable_tiling(bool enabled = true);
  // One image at a time.
  void enable_slicing(bool enabled = true);

  const AutoencoderKLConfig& config() const;
  const std::vector<std::string>& surplus_tensors() const;  // what from_pretrained() found in the files and did not need

 private:
  at::Tensor encode_tile(const at::Tensor& images) const;
  at::Tensor decode_tile(const at::Tensor& latents) const;
  at::Tensor encode_some(const at::Tensor& images) const;
  at::Tensor decode_some(const at::Tensor& latents) const;

  AutoencoderKLConfig config_;
  std::vector<std::string> surplus_tensors_;
  std::shared_ptr<diffusion::ImageEncoder> encoder_;
  std::shared_ptr<diffusion::ImageDecoder> decoder_;
  std::shared_ptr<diffusion::Conv2d> quant_conv_, post_quant_conv_;
  bool tiling_ = false, slicing_ = false;
  int64_t image_tile_, latent_tile_;
};

}  // namespace torch_hpu
