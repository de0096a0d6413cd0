// config.json of the autoencoder.
#include <torch_hpu/autoencoder_kl.h>

#include "csrc/diffusion/models/config_fields.h"

namespace torch_hpu {

using diffusion::Json;

AutoencoderKLConfig AutoencoderKLConfig::from_json(const std::string& text) {
  AutoencoderKLConfig config;
  diffusion::ConfigFields fields("AutoencoderKL", text);
  fields.read("in_channels", config.in_channels);
  fields.read("out_channels", config.out_channels);
  fields.read("down_block_types", config.down_block_types);
  fields.read("up_block_types", config.up_block_types);
  fields.read("block_out_channels", config.block_out_channels);
  fields.read("layers_per_block", config.layers_per_block, 1, diffusion::kMostLayers);
  fields.read("act_fn", config.act_fn);
  fields.read("latent_channels", config.latent_channels);
  fields.read("norm_num_groups", config.norm_num_groups);
  fields.read("sample_size", config.sample_size);
  fields.read("scaling_factor", config.scaling_factor);
  fields.read("shift_factor", config.shift_factor);
  fields.read("latents_mean", config.latents_mean);
  fields.read("latents_std", config.latents_std);
  fields.read("force_upcast", config.force_upcast);
  fields.read("use_quant_conv", config.use_quant_conv);
  fields.read("use_post_quant_conv", config.use_post_quant_conv);
  fields.read("mid_block_add_attention", config.mid_block_add_attention);
  fields.finish();
  return config;
}

std::string AutoencoderKLConfig::to_json() const {
  using diffusion::or_null;
  const Json json = {
      {"_class_name", "AutoencoderKL"},
      {"_diffusers_version", "0.42.1"},
      {"in_channels", in_channels},
      {"out_channels", out_channels},
      {"down_block_types", down_block_types},
      {"up_block_types", up_block_types},
      {"block_out_channels", block_out_channels},
      {"layers_per_block", layers_per_block},
      {"act_fn", act_fn},
      {"latent_channels", latent_channels},
      {"norm_num_groups", norm_num_groups},
      {"sample_size", diffusion::one_or_list(sample_size)},
      {"scaling_factor", scaling_factor},
      {"shift_factor", or_null(shift_factor)},
      {"latents_mean", or_null(latents_mean)},
      {"latents_std", or_null(latents_std)},
      {"force_upcast", force_upcast},
      {"use_quant_conv", use_quant_conv},
      {"use_post_quant_conv", use_post_quant_conv},
      {"mid_block_add_attention", mid_block_add_attention},
  };
  return json.dump(2) + "\n";
}

}  // namespace torch_hpu
