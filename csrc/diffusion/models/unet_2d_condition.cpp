#include <torch_hpu/unet_2d_condition.h>

#include <ATen/Functions.h>

#include <algorithm>

#include "csrc/diffusion/models/config_fields.h"
#include "csrc/diffusion/models/embeddings.h"
#include "csrc/diffusion/models/pretrained.h"
#include "csrc/diffusion/models/unet_blocks.h"

namespace torch_hpu {

using namespace diffusion;

namespace {

constexpr const char* kNoun = "UNet2DConditionModel";
constexpr const char* kStem = "diffusion_pytorch_model";

std::string same_name(const std::string& name) {
  return name;
}

// Whether the block has transformers; throws for a type other than these two.
bool has_attention(const char* field, const std::string& type, const std::string& plain, const std::string& cross) {
  TORCH_CHECK_VALUE(type == plain || type == cross, "[", kNoun, "] ", field, " has a type that is not supported: got ", type, ", expected ",
                    plain, " or ", cross);
  return type == cross;
}

Activation optional_activation(const char* field, const std::optional<std::string>& name) {
  return name ? activation(kNoun, field, *name) : Activation();
}

// What has no place of its own where the parts are made.
void check_config(const UNet2DConditionConfig& config) {
  const size_t blocks = config.down_block_types.size();
  TORCH_CHECK_VALUE(blocks > 0 && blocks <= 32, "[", kNoun, "] down_block_types must name 1 to 32 blocks: got ", blocks);
  TORCH_CHECK_VALUE(config.up_block_types.size() == blocks, "[", kNoun, "] up_block_types must be as many as down_block_types: got ",
                    config.up_block_types.size(), ", expected ", blocks);
  TORCH_CHECK_VALUE(config.block_out_channels.size() == blocks, "[", kNoun,
                    "] block_out_channels must be as many as down_block_types: got ", config.block_out_channels.size(), ", expected ",
                    blocks);
  TORCH_CHECK_VALUE(config.resnet_time_scale_shift == "default" || config.resnet_time_scale_shift == "scale_shift", "[", kNoun,
                    "] resnet_time_scale_shift is not supported: got ", config.resnet_time_scale_shift,
                    ", expected default or scale_shift");
  TORCH_CHECK_VALUE(config.sample_size.size() <= 2, "[", kNoun, "] sample_size must be one or two numbers: got ",
                    config.sample_size.size());
  TORCH_CHECK_VALUE(config.dropout >= 0 && config.dropout < 1, "[", kNoun, "] dropout must lie in [0, 1): got ", config.dropout);
  TORCH_CHECK_VALUE(config.norm_num_groups > 0, "[", kNoun, "] norm_num_groups must be positive: got ", config.norm_num_groups);
  TORCH_CHECK_VALUE(config.mid_block_scale_factor != 0, "[", kNoun, "] mid_block_scale_factor must not be 0");
}

}  // namespace

UNet2DConditionModel::UNet2DConditionModel(UNet2DConditionConfig config) : config_(std::move(config)) {
  check_config(config_);
  const int64_t first = config_.block_out_channels[0], time_size = config_.time_embedding_dim.value_or(4 * first);
  const int64_t in_kernel = config_.conv_in_kernel, out_kernel = config_.conv_out_kernel;
  conv_in_ = register_module("conv_in", std::make_shared<Conv2d>(ConvShape{config_.in_channels, first, in_kernel, 1, (in_kernel - 1) / 2}));
  time_embedding_ = register_module("time_embedding",
                                    std::make_shared<TimestepEmbedding>(TimestepEmbeddingShape{
                                        first, time_size, activation(kNoun, "act_fn", config_.act_fn),
                                        optional_activation("timestep_post_act", config_.timestep_post_act), config_.time_cond_proj_dim}));
  make_class_embedding(time_size);
  optional_activation("time_embedding_act_fn", config_.time_embedding_act_fn);  // an unknown name is an error now, not in forward()
  make_blocks(config_.class_embeddings_concat ? 2 * time_size : time_size);
  conv_norm_out_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(config_.norm_num_groups, first, config_.norm_eps));
  conv_out_ =
      register_module("conv_out", std::make_shared<Conv2d>(ConvShape{first, config_.out_channels, out_kernel, 1, (out_kernel - 1) / 2}));
}

UNet2DConditionModel::~UNet2DConditionModel() = default;

void UNet2DConditionModel::make_class_embedding(int64_t time_size) {
  const std::string type = config_.class_embed_type.value_or("");
  const auto input = config_.projection_class_embeddings_input_dim;
  if (type.empty() && config_.num_class_embeds) {
    class_table_ = register_module("class_embedding", std::make_shared<Embedding>(*config_.num_class_embeds, time_size));
  } else if (type == "timestep") {
    class_timestep_ = register_module("class_embedding",
                                      std::make_shared<TimestepEmbedding>(TimestepEmbeddingShape{
                                          config_.block_out_channels[0], time_size, activation(kNoun, "act_fn", config_.act_fn), {}, {}}));
  } else if (type == "projection" || type == "simple_projection") {
    TORCH_CHECK_VALUE(input, "[", kNoun, "] class_embed_type \"", type, "\" needs projection_class_embeddings_input_dim");
    if (type == "projection") {
      class_timestep_ = register_module("class_embedding", std::make_shared<TimestepEmbedding>(TimestepEmbeddingShape{
                                                               *input, time_size, activation(kNoun, "act_fn", "silu"), {}, {}}));
    } else {
      class_linear_ = register_module("class_embedding", std::make_shared<Linear>(*input, time_size));
    }
  } else {
    TORCH_CHECK_VALUE(type.empty() || type == "identity", "[", kNoun, "] class_embed_type is not supported: got ", type,
                      ", expected timestep, identity, projection or simple_projection");
  }
}

void UNet2DConditionModel::make_blocks(int64_t time_size) {
  const auto& channels = config_.block_out_channels;
  const size_t count = channels.size();
  const auto heads = per_block(kNoun, "attention_head_dim", config_.attention_head_dim, count);
  const auto context = per_block(kNoun, "cross_attention_dim", config_.cross_attention_dim, count);
  const auto layers = per_block(kNoun, "layers_per_block", config_.layers_per_block, count);
  const auto depth = per_block(kNoun, "transformer_layers_per_block", config_.transformer_layers_per_block, count);
  const auto only_cross = per_block(kNoun, "only_cross_attention", config_.only_cross_attention, count);

  BlockShape common;
  common.padding = config_.downsample_padding;
  common.resnet = {.time_size = time_size,
                   .scale_shift = config_.resnet_time_scale_shift == "scale_shift",
                   .groups = config_.norm_num_groups,
                   .eps = config_.norm_eps,
                   .dropout = config_.dropout,
                   .activation = activation(kNoun, "act_fn", config_.act_fn)};
  const auto transformer = [&](size_t i) {
    TORCH_CHECK_VALUE(heads[i] <= channels[i], "[", kNoun,
                      "] attention_head_dim, the number of heads, must not be above the channels: got ", heads[i], " heads for ",
                      channels[i], " channels");
    return TransformerShape{.heads = heads[i],
                            .layers = depth[i],
                            .context_size = context[i],
                            .linear_projection = config_.use_linear_projection,
                            .only_cross_attention = only_cross[i],
                            .upcast = config_.upcast_attention};
  };

  down_blocks_ = register_module("down_blocks", std::make_shared<Sequence<DownBlock>>());
  for (size_t i = 0; i < count; ++i) {
    BlockShape shape = common;
    shape.in = channels[i == 0 ? 0 : i - 1];
    shape.out = channels[i];
    shape.layers = layers[i];
    shape.resample = i + 1 < count;
    if (has_attention("down_block_types", config_.down_block_types[i], "DownBlock2D", "CrossAttnDownBlock2D")) {
      shape.transformer = transformer(i);
    }
    down_blocks_->push(std::make_shared<DownBlock>(shape));
  }

  if (config_.mid_block_type) {
    BlockShape shape = common;
    shape.in = shape.out = channels.back();
    shape.resnet.output_scale_factor = config_.mid_block_scale_factor;
    if (has_attention("mid_block_type", *config_.mid_block_type, "UNetMidBlock2D", "UNetMidBlock2DCrossAttn")) {
      shape.transformer = transformer(count - 1);
      shape.transformer->only_cross_attention = false;
    }
    mid_block_ = register_module("mid_block", std::make_shared<CrossMidBlock>(shape));
  }

  up_blocks_ = register_module("up_blocks", std::make_shared<Sequence<UpBlock>>());
  for (size_t up = 0; up < count; ++up) {
    const size_t i = count - 1 - up;  // the down block of the same level
    BlockShape shape = common;
    shape.in = channels[std::min(i + 1, count - 1)];
    shape.out = channels[i];
    shape.skip = channels[i == 0 ? 0 : i - 1];
    shape.layers = layers[i] + 1;
    shape.resample = up + 1 < count;
    if (has_attention("up_block_types", config_.up_block_types[up], "UpBlock2D", "CrossAttnUpBlock2D")) {
      shape.transformer = transformer(i);
    }
    up_blocks_->push(std::make_shared<UpBlock>(shape));
  }
}

std::shared_ptr<UNet2DConditionModel> UNet2DConditionModel::from_pretrained(const std::string& folder, const std::string& subfolder,
                                                                            at::ScalarType dtype, const std::string& variant) {
  const PretrainedFolder source{kNoun, join_path(folder, subfolder), kStem, variant};
  const StandInParameters stand_ins;
  auto model = std::make_shared<UNet2DConditionModel>(UNet2DConditionConfig::from_json(read_config(source)));
  model->surplus_tensors_ = load_weights(*model, source, dtype, same_name);
  model->eval();
  return model;
}

void UNet2DConditionModel::save_pretrained(const std::string& folder) const {
  save_weights(*this, {kNoun, folder, kStem, ""}, config_.to_json(), same_name);
}

// [B, size of the time embedding], with the classes.
at::Tensor UNet2DConditionModel::embed_time(const at::Tensor& sample, const at::Tensor& timestep, const UNet2DConditionInputs& more) const {
  const TimestepsShape shape{config_.block_out_channels[0], config_.flip_sin_to_cos, static_cast<double>(config_.freq_shift)};
  TORCH_CHECK_VALUE(timestep.dim() <= 1 && (timestep.numel() == 1 || timestep.numel() == sample.size(0)), "[", kNoun,
                    "] timestep must be one number or one for each sample: got ", timestep.sizes(), " for ", sample.size(0), " samples");
  const at::Tensor times = timestep.to(sample.device()).reshape({-1}).expand({sample.size(0)});
  at::Tensor time = time_embedding_->forward(timestep_embedding(times, shape).to(sample.scalar_type()), more.timestep_cond);
  const bool has_classes = class_table_ || class_timestep_ || class_linear_ || config_.class_embed_type;
  if (has_classes) {
    TORCH_CHECK_VALUE(more.class_labels.defined(), "[", kNoun, "] the config asks for class_labels, and none were given");
    at::Tensor classes = more.class_labels;
    if (class_table_) {
      classes = class_table_->forward(classes);
    } else if (class_linear_) {
      classes = class_linear_->forward(classes);
    } else if (class_timestep_) {
      if (*config_.class_embed_type == "timestep") {
        classes = timestep_embedding(classes, shape).to(sample.scalar_type());
      }
      classes = class_timestep_->forward(classes);
    }
    classes = classes.to(sample.scalar_type());
    time = config_.class_embeddings_concat ? at::cat({time, classes}, -1) : time + classes;
  }
  return config_.time_embedding_act_fn ? activation(kNoun, "time_embedding_act_fn", *config_.time_embedding_act_fn)(time) : time;
}

at::Tensor UNet2DConditionModel::forward(const at::Tensor& sample, const at::Tensor& timestep, const at::Tensor& encoder_hidden_states,
                                         const UNet2DConditionInputs& more) {
  TORCH_CHECK_VALUE(sample.dim() == 4 && sample.size(1) == config_.in_channels, "[", kNoun, "] sample has a wrong shape: got ",
                    sample.sizes(), ", expected [B, ", config_.in_channels, ", H, W]");
  TORCH_CHECK_VALUE(encoder_hidden_states.dim() == 3 && encoder_hidden_states.size(0) == sample.size(0) &&
                        (config_.cross_attention_dim.size() > 1 || encoder_hidden_states.size(2) == config_.cross_attention_dim[0]),
                    "[", kNoun, "] encoder_hidden_states has a wrong shape: got ", encoder_hidden_states.sizes(), ", expected [",
                    sample.size(0), ", T, ", config_.cross_attention_dim, "]");
  Prompt prompt{encoder_hidden_states, {}};
  if (more.encoder_attention_mask.defined()) {
    TORCH_CHECK_VALUE(more.encoder_attention_mask.sizes() == encoder_hidden_states.sizes().slice(0, 2), "[", kNoun,
                      "] encoder_attention_mask has a wrong shape: got ", more.encoder_attention_mask.sizes(), ", expected ",
                      encoder_hidden_states.sizes().slice(0, 2));
    const at::Tensor hidden = 1 - more.encoder_attention_mask.to(sample.scalar_type());
    prompt.bias = (hidden * -10000.0).unsqueeze(1).unsqueeze(1);  // [B, 1, 1, T]
  }
  const at::Tensor time = embed_time(sample, timestep, more);

  at::Tensor x = conv_in_->forward(config_.center_input_sample ? 2 * sample - 1 : sample);
  std::vector<at::Tensor> skips = {x};
  for (const auto& block : *down_blocks_) {
    x = block->forward(x, time, prompt, &skips);
  }
  if (mid_block_) {
    x = mid_block_->forward(x, time, prompt);
  }
  const int64_t factor = int64_t(1) << (up_blocks_->size() - 1);
  const bool odd = sample.size(2) % factor != 0 || sample.size(3) % factor != 0;
  for (const auto& block : *up_blocks_) {
    std::vector<int64_t> size;  // that of the next level's skip connections, where doubling would miss it
    if (odd && skips.size() > block->layers()) {
      size = skips[skips.size() - 1 - block->layers()].sizes().slice(2).vec();
    }
    x = block->forward(x, time, prompt, &skips, size);
  }
  x = activation(kNoun, "act_fn", config_.act_fn)(conv_norm_out_->forward(x));
  return conv_out_->forward(x);
}

at::Tensor UNet2DConditionModel::forward(const at::Tensor& sample, double timestep, const at::Tensor& encoder_hidden_states,
                                         const UNet2DConditionInputs& more) {
  // As a tensor that is copied to the device, so that it is an input of the compiled graph and not a constant in it.
  return forward(sample, at::full({1}, timestep, at::kFloat), encoder_hidden_states, more);
}

const UNet2DConditionConfig& UNet2DConditionModel::config() const {
  return config_;
}

const std::vector<std::string>& UNet2DConditionModel::surplus_tensors() const {
  return surplus_tensors_;
}

}  // namespace torch_hpu
