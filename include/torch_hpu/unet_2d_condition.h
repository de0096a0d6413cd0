// The UNet of Stable Diffusion, in diffusers' format: config.json, diffusion_pytorch_model.safetensors, the same tensor names.
#pragma once

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
class GroupNorm;
class Linear;
class Embedding;
class TimestepEmbedding;
class DownBlock;
class CrossMidBlock;
class UpBlock;
template <typename T>
class Sequence;
}  // namespace diffusion

// diffusers' config fields, under the same names and with the same defaults. A list with one value for each block may be given as one value
// for all of them. Fields that are not here are refused by name when a file sets them to anything but their neutral value.
struct TORCH_HPU_API UNet2DConditionConfig {
  std::vector<int64_t> sample_size;  // height and width of the latents, or one number for both; empty: not set
  int64_t in_channels = 4, out_channels = 4;
  bool center_input_sample = false;
  bool flip_sin_to_cos = true;
  int64_t freq_shift = 0;
  std::vector<std::string> down_block_types = {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"};
  std::optional<std::string> mid_block_type = "UNetMidBlock2DCrossAttn";  // or UNetMidBlock2D, or none
  std::vector<std::string> up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"};
  std::vector<bool> only_cross_attention = {false};
  std::vector<int64_t> block_out_channels = {320, 640, 1280, 1280};
  std::vector<int64_t> layers_per_block = {2};
  int64_t downsample_padding = 1;
  double mid_block_scale_factor = 1;
  double dropout = 0;
  std::string act_fn = "silu";
  int64_t norm_num_groups = 32;
  double norm_eps = 1e-5;
  std::vector<int64_t> cross_attention_dim = {1280};
  std::vector<int64_t> transformer_layers_per_block = {1};
  std::vector<int64_t> attention_head_dim = {8};  // the number of heads, whatever it is called
  bool use_linear_projection = false;
  std::optional<std::string> class_embed_type;  // timestep, identity, projection or simple_projection
  std::optional<int64_t> num_class_embeds;
  bool upcast_attention = false;                    // half-precision scores are computed in float
  std::string resnet_time_scale_shift = "default";  // or scale_shift
  std::optional<int64_t> time_embedding_dim;
  std::optional<std::string> time_embedding_act_fn, timestep_post_act;
  std::optional<int64_t> time_cond_proj_dim;
  int64_t conv_in_kernel = 3, conv_out_kernel = 3;
  std::optional<int64_t> projection_class_embeddings_input_dim;
  bool class_embeddings_concat = false;
  std::optional<bool> mid_block_only_cross_attention;  // without effect on the mid blocks that exist here, as in diffusers

  // Throws with the field's name for what is not supported, not known, or of a wrong type or size.
  static UNet2DConditionConfig from_json(const std::string& text);
  // As diffusers writes it, with every field that it knows.
  std::string to_json() const;
};

// Inputs that few models take.
struct UNet2DConditionInputs {
  at::Tensor class_labels;            // [B], or [B, n] where class_embed_type is a projection or identity
  at::Tensor timestep_cond;           // [B, time_cond_proj_dim]
  at::Tensor encoder_attention_mask;  // [B, T], 1 or true: the token is seen
};

class TORCH_HPU_API UNet2DConditionModel : public torch::nn::Module {
 public:
  // With torch's default initialisation, from the default CPU generator. Throws for configs that do not fit together.
  explicit UNet2DConditionModel(UNet2DConditionConfig config);
  ~UNet2DConditionModel() override;

  // Reads folder/subfolder: config.json and diffusion_pytorch_model[.variant].safetensors, whole or sharded; if there is no file without a
  // variant and exactly one with, that one. The values are converted to dtype (a floating type). The model is on the CPU and in evaluation
  // mode. Throws with the names of missing and mis-shaped tensors; surplus ones are named in a warning.
  static std::shared_ptr<UNet2DConditionModel> from_pretrained(const std::string& folder, const std::string& subfolder = "",
                                                               at::ScalarType dtype = at::kFloat, const std::string& variant = "");
  // config.json and diffusion_pytorch_model.safetensors, for diffusers and for from_pretrained(). Makes the folder if need be.
  void save_pretrained(const std::string& folder) const;

  // sample: [B, in_channels, H, W]; timestep: [B], [1] or 0-d, integers or floats, on any device; encoder_hidden_states: [B, T,
  // cross_attention_dim]. Returns [B, out_channels, H, W]. H and W need not be multiples of anything.
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& timestep, const at::Tensor& encoder_hidden_states,
                     const UNet2DConditionInputs& more = {});
  at::Tensor forward(const at::Tensor& sample, double timestep, const at::Tensor& encoder_hidden_states,
                     const UNet2DConditionInputs& more = {});

  const UNet2DConditionConfig& config() const;
  const std::vector<std::string>& surplus_tensors() const;  // what from_pretrained() found in the files and did not need

 private:
  void make_class_embedding(int64_t time_size);
  void make_blocks(int64_t time_size);
  at::Tensor embed_time(const at::Tensor& sample, const at::Tensor& timestep, const UNet2DConditionInputs& more) const;

  UNet2DConditionConfig config_;
  std::vector<std::string> surplus_tensors_;
  std::shared_ptr<diffusion::Conv2d> conv_in_, conv_out_;
  std::shared_ptr<diffusion::TimestepEmbedding> time_embedding_, class_timestep_;
  std::shared_ptr<diffusion::Embedding> class_table_;
  std::shared_ptr<diffusion::Linear> class_linear_;
  std::shared_ptr<diffusion::Sequence<diffusion::DownBlock>> down_blocks_;
  std::shared_ptr<diffusion::CrossMidBlock> mid_block_;
  std::shared_ptr<diffusion::Sequence<diffusion::UpBlock>> up_blocks_;
  std::shared_ptr<diffusion::GroupNorm> conv_norm_out_;
};

}  // namespace torch_hpu
