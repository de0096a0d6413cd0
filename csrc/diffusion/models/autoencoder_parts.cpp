#include "csrc/diffusion/models/autoencoder_parts.h"

#include <ATen/Functions.h>

#include <algorithm>

namespace torch_hpu::diffusion {

namespace {

constexpr double kEps = 1e-6;

ResnetShape resnet_shape(const AutoencoderKLConfig& config) {
  return {.groups = config.norm_num_groups, .eps = kEps, .activation = activation("AutoencoderKL", "act_fn", config.act_fn)};
}

}  // namespace

ImageEncoder::ImageEncoder(const AutoencoderKLConfig& config) {
  const auto& channels = config.block_out_channels;
  conv_in_ = register_module("conv_in", std::make_shared<Conv2d>(ConvShape{.in = config.in_channels, .out = channels[0]}));
  down_blocks_ = register_module("down_blocks", std::make_shared<Sequence<DownBlock>>());
  for (size_t i = 0; i < channels.size(); ++i) {
    down_blocks_->push(std::make_shared<DownBlock>(BlockShape{.in = channels[i == 0 ? 0 : i - 1],
                                                              .out = channels[i],
                                                              .layers = config.layers_per_block,
                                                              .resnet = resnet_shape(config),
                                                              .transformer = {},
                                                              .resample = i + 1 < channels.size(),
                                                              .padding = 0}));
  }
  mid_block_ =
      register_module("mid_block", std::make_shared<ImageMidBlock>(resnet_shape(config), channels.back(), config.mid_block_add_attention));
  conv_norm_out_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(config.norm_num_groups, channels.back(), kEps));
  conv_out_ = register_module("conv_out", std::make_shared<Conv2d>(ConvShape{.in = channels.back(), .out = 2 * config.latent_channels}));
}

at::Tensor ImageEncoder::forward(at::Tensor x) const {
  x = conv_in_->forward(x);
  for (const auto& block : *down_blocks_) {
    x = block->forward(x, {}, {}, nullptr);
  }
  x = mid_block_->forward(x);
  return conv_out_->forward(at::silu(conv_norm_out_->forward(x)));
}

ImageDecoder::ImageDecoder(const AutoencoderKLConfig& config) {
  const auto& channels = config.block_out_channels;
  conv_in_ = register_module("conv_in", std::make_shared<Conv2d>(ConvShape{.in = config.latent_channels, .out = channels.back()}));
  mid_block_ =
      register_module("mid_block", std::make_shared<ImageMidBlock>(resnet_shape(config), channels.back(), config.mid_block_add_attention));
  up_blocks_ = register_module("up_blocks", std::make_shared<Sequence<UpBlock>>());
  for (size_t i = channels.size(); i-- > 0;) {
    up_blocks_->push(std::make_shared<UpBlock>(BlockShape{.in = channels[std::min(i + 1, channels.size() - 1)],
                                                          .out = channels[i],
                                                          .layers = config.layers_per_block + 1,
                                                          .resnet = resnet_shape(config),
                                                          .transformer = {},
                                                          .resample = i > 0}));
  }
  conv_norm_out_ = register_module("conv_norm_out", std::make_shared<GroupNorm>(config.norm_num_groups, channels[0], kEps));
  conv_out_ = register_module("conv_out", std::make_shared<Conv2d>(ConvShape{.in = channels[0], .out = config.out_channels}));
}

at::Tensor ImageDecoder::forward(at::Tensor x) const {
  x = mid_block_->forward(conv_in_->forward(x));
  for (const auto& block : *up_blocks_) {
    x = block->forward(x, {}, {}, nullptr, {});
  }
  return conv_out_->forward(at::silu(conv_norm_out_->forward(x)));
}

}  // namespace torch_hpu::diffusion
