// config.json of the UNet.
#include <torch_hpu/unet_2d_condition.h>

#include "csrc/diffusion/models/config_fields.h"

namespace torch_hpu {

namespace {

using diffusion::Json;
using diffusion::kMostLayers;

constexpr const char* kNoun = "UNet2DConditionModel";

// Fields of parts that are not here, with the values that leave them out.
const std::vector<std::pair<const char*, Json>>& neutral_fields() {
  static const std::vector<std::pair<const char*, Json>>
      fields =
          {
              {"addition_embed_type", nullptr},
              {"addition_time_embed_dim", nullptr},
              {"attention_type", "default"},
              {"cross_attention_norm", nullptr},
              {"dual_cross_attention", false},
              {"encoder_hid_dim", nullptr},
              {"encoder_hid_dim_type", nullptr},
              {"num_attention_heads", nullptr},  // diffusers, too, refuses it: attention_head_dim is the number of heads
              {"resnet_out_scale_factor", 1.0},
              {"resnet_skip_time_act", false},
              {"reverse_transformer_layers_per_block", nullptr},
              {"time_embedding_type", "positional"},
          };
  return fields;
}

}  // namespace

UNet2DConditionConfig UNet2DConditionConfig::from_json(const std::string& text) {
  UNet2DConditionConfig config;
  diffusion::ConfigFields fields(kNoun, text);
  std::optional<std::vector<int64_t>> size;
  fields.read("sample_size", size);
  config.sample_size = size.value_or(std::vector<int64_t>());
  fields.read("in_channels", config.in_channels);
  fields.read("out_channels", config.out_channels);
  fields.read("center_input_sample", config.center_input_sample);
  fields.read("flip_sin_to_cos", config.flip_sin_to_cos);
  fields.read("freq_shift", config.freq_shift, -1000, 1000);
  fields.read("down_block_types", config.down_block_types);
  fields.read("mid_block_type", config.mid_block_type);
  fields.read("up_block_types", config.up_block_types);
  fields.read("only_cross_attention", config.only_cross_attention);
  fields.read("block_out_channels", config.block_out_channels);
  fields.read("layers_per_block", config.layers_per_block, 1, kMostLayers);
  fields.read("downsample_padding", config.downsample_padding, 0, 1);
  fields.read("mid_block_scale_factor", config.mid_block_scale_factor);
  fields.read("dropout", config.dropout);
  fields.read("act_fn", config.act_fn);
  fields.read("norm_num_groups", config.norm_num_groups);
  fields.read("norm_eps", config.norm_eps);
  fields.read("cross_attention_dim", config.cross_attention_dim);
  fields.read("transformer_layers_per_block", config.transformer_layers_per_block, 1, kMostLayers);
  fields.read("attention_head_dim", config.attention_head_dim);
  fields.read("use_linear_projection", config.use_linear_projection);
  fields.read("class_embed_type", config.class_embed_type);
  fields.read("num_class_embeds", config.num_class_embeds);
  fields.read("upcast_attention", config.upcast_attention);
  fields.read("resnet_time_scale_shift", config.resnet_time_scale_shift);
  fields.read("time_embedding_dim", config.time_embedding_dim);
  fields.read("time_embedding_act_fn", config.time_embedding_act_fn);
  fields.read("timestep_post_act", config.timestep_post_act);
  fields.read("time_cond_proj_dim", config.time_cond_proj_dim);
  fields.read("conv_in_kernel", config.conv_in_kernel, 1, 31);
  fields.read("conv_out_kernel", config.conv_out_kernel, 1, 31);
  fields.read("projection_class_embeddings_input_dim", config.projection_class_embeddings_input_dim);
  fields.read("class_embeddings_concat", config.class_embeddings_concat);
  fields.read("mid_block_only_cross_attention", config.mid_block_only_cross_attention);
  fields.ignore("addition_embed_type_num_heads");
  for (const auto& [name, neutral] : neutral_fields()) {
    fields.expect(name, neutral);
  }
  fields.finish();
  return config;
}

std::string UNet2DConditionConfig::to_json() const {
  using diffusion::one_or_list;
  using diffusion::or_null;
  Json json = {
      {"_class_name", kNoun},
      {"_diffusers_version", "0.42.1"},
      {"sample_size", one_or_list(sample_size)},
      {"in_channels", in_channels},
      {"out_channels", out_channels},
      {"center_input_sample", center_input_sample},
      {"flip_sin_to_cos", flip_sin_to_cos},
      {"freq_shift", freq_shift},
      {"down_block_types", down_block_types},
      {"mid_block_type", or_null(mid_block_type)},
      {"up_block_types", up_block_types},
      {"only_cross_attention", one_or_list(only_cross_attention)},
      {"block_out_channels", block_out_channels},
      {"layers_per_block", one_or_list(layers_per_block)},
      {"downsample_padding", downsample_padding},
      {"mid_block_scale_factor", mid_block_scale_factor},
      {"dropout", dropout},
      {"act_fn", act_fn},
      {"norm_num_groups", norm_num_groups},
      {"norm_eps", norm_eps},
      {"cross_attention_dim", one_or_list(cross_attention_dim)},
      {"transformer_layers_per_block", one_or_list(transformer_layers_per_block)},
      {"attention_head_dim", one_or_list(attention_head_dim)},
      {"use_linear_projection", use_linear_projection},
      {"class_embed_type", or_null(class_embed_type)},
      {"num_class_embeds", or_null(num_class_embeds)},
      {"upcast_attention", upcast_attention},
      {"resnet_time_scale_shift", resnet_time_scale_shift},
      {"time_embedding_dim", or_null(time_embedding_dim)},
      {"time_embedding_act_fn", or_null(time_embedding_act_fn)},
      {"timestep_post_act", or_null(timestep_post_act)},
      {"time_cond_proj_dim", or_null(time_cond_proj_dim)},
      {"conv_in_kernel", conv_in_kernel},
      {"conv_out_kernel", conv_out_kernel},
      {"projection_class_embeddings_input_dim", or_null(projection_class_embeddings_input_dim)},
      {"class_embeddings_concat", class_embeddings_concat},
      {"mid_block_only_cross_attention", or_null(mid_block_only_cross_attention)},
      {"addition_embed_type_num_heads", 64},
  };
  for (const auto& [name, neutral] : neutral_fields()) {
    json[name] = neutral;
  }
  return json.dump(2) + "\n";
}

}  // namespace torch_hpu
