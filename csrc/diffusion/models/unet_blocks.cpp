#include "csrc/diffusion/models/unet_blocks.h"

#include <ATen/Functions.h>

namespace torch_hpu::diffusion {

namespace {

std::shared_ptr<ResnetBlock2D> make_resnet(ResnetShape shape, int64_t in, int64_t out) {
  shape.in = in;
  shape.out = out;
  return std::make_shared<ResnetBlock2D>(std::move(shape));
}

std::shared_ptr<Transformer2D> make_transformer(const BlockShape& block) {
  TransformerShape shape = *block.transformer;
  shape.channels = block.out;
  shape.groups = block.resnet.groups;
  return std::make_shared<Transformer2D>(shape);
}

}  // namespace

DownBlock::DownBlock(const BlockShape& shape) {
  if (shape.transformer) {
    attentions_ = register_module("attentions", std::make_shared<Sequence<Transformer2D>>());
  }
  resnets_ = register_module("resnets", std::make_shared<Sequence<ResnetBlock2D>>());
  for (int64_t i = 0; i < shape.layers; ++i) {
    resnets_->push(make_resnet(shape.resnet, i == 0 ? shape.in : shape.out, shape.out));
    if (attentions_) {
      attentions_->push(make_transformer(shape));
    }
  }
  if (shape.resample) {
    downsamplers_ = register_module("downsamplers", std::make_shared<Sequence<Downsample2D>>());
    downsamplers_->push(std::make_shared<Downsample2D>(shape.out, shape.padding));
  }
}

at::Tensor DownBlock::forward(at::Tensor x, const at::Tensor& time, const Prompt& prompt, std::vector<at::Tensor>* skips) const {
  for (size_t i = 0; i < resnets_->size(); ++i) {
    x = (*resnets_)[i]->forward(x, time);
    if (attentions_) {
      x = (*attentions_)[i]->forward(x, prompt);
    }
    if (skips) {
      skips->push_back(x);
    }
  }
  if (downsamplers_) {
    x = (*downsamplers_)[0]->forward(x);
    if (skips) {
      skips->push_back(x);
    }
  }
  return x;
}

UpBlock::UpBlock(const BlockShape& shape) {
  if (shape.transformer) {
    attentions_ = register_module("attentions", std::make_shared<Sequence<Transformer2D>>());
  }
  resnets_ = register_module("resnets", std::make_shared<Sequence<ResnetBlock2D>>());
  for (int64_t i = 0; i < shape.layers; ++i) {
    int64_t in = i == 0 ? shape.in : shape.out;
    if (shape.skip > 0) {  // what came down on the same level: its layers' outputs, and last its input
      in += i == shape.layers - 1 ? shape.skip : shape.out;
    }
    resnets_->push(make_resnet(shape.resnet, in, shape.out));
    if (attentions_) {
      attentions_->push(make_transformer(shape));
    }
  }
  if (shape.resample) {
    upsamplers_ = register_module("upsamplers", std::make_shared<Sequence<Upsample2D>>());
    upsamplers_->push(std::make_shared<Upsample2D>(shape.out));
  }
}

size_t UpBlock::layers() const {
  return resnets_->size();
}

at::Tensor UpBlock::forward(at::Tensor x, const at::Tensor& time, const Prompt& prompt, std::vector<at::Tensor>* skips,
                            at::IntArrayRef size) const {
  for (size_t i = 0; i < resnets_->size(); ++i) {
    if (skips) {
      x = at::cat({x, skips->back()}, 1);
      skips->pop_back();
    }
    x = (*resnets_)[i]->forward(x, time);
    if (attentions_) {
      x = (*attentions_)[i]->forward(x, prompt);
    }
  }
  return upsamplers_ ? (*upsamplers_)[0]->forward(x, size) : x;
}

CrossMidBlock::CrossMidBlock(const BlockShape& shape) {
  if (shape.transformer) {
    attentions_ = register_module("attentions", std::make_shared<Sequence<Transformer2D>>());
    attentions_->push(make_transformer(shape));
  }
  resnets_ = register_module("resnets", std::make_shared<Sequence<ResnetBlock2D>>());
  for (int i = 0; i < (attentions_ ? 2 : 1); ++i) {
    resnets_->push(make_resnet(shape.resnet, shape.out, shape.out));
  }
}

at::Tensor CrossMidBlock::forward(at::Tensor x, const at::Tensor& time, const Prompt& prompt) const {
  x = (*resnets_)[0]->forward(x, time);
  return attentions_ ? (*resnets_)[1]->forward((*attentions_)[0]->forward(x, prompt), time) : x;
}

ImageMidBlock::ImageMidBlock(ResnetShape resnet, int64_t channels, bool attention) {
  if (attention) {
    attentions_ = register_module("attentions", std::make_shared<Sequence<ImageAttention>>());
    attentions_->push(std::make_shared<ImageAttention>(channels, resnet.groups, resnet.eps));
  }
  resnets_ = register_module("resnets", std::make_shared<Sequence<ResnetBlock2D>>());
  for (int i = 0; i < 2; ++i) {
    resnets_->push(make_resnet(resnet, channels, channels));
  }
}

at::Tensor ImageMidBlock::forward(at::Tensor x) const {
  x = (*resnets_)[0]->forward(x, {});
  if (attentions_) {
    x = (*attentions_)[0]->forward_image(x);
  }
  return (*resnets_)[1]->forward(x, {});
}

}  // namespace torch_hpu::diffusion
