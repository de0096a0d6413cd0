// Configs, broken folders, round trips and training of the text encoder, the UNet and the autoencoder. Values: test_diffusion_models.py.
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <gtest/gtest.h>
#include <torch_hpu/autoencoder_kl.h>
#include <torch_hpu/clip_text_model.h>
#include <torch_hpu/device.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/safetensors.h>
#include <torch_hpu/unet_2d_condition.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "test/cpp/api/compile_at_once.h"
#include "test/cpp/diffusion/error_words.h"

namespace {

namespace fs = std::filesystem;
using namespace torch_hpu;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("diffusion_models_" + std::to_string(getpid()) + "_" + std::to_string(count_++))) {
    fs::create_directories(path_);
  }
  ~Folder() {
    fs::remove_all(path_);
  }
  fs::path operator/(const std::string& name) const {
    return path_ / name;
  }
  std::string str() const {
    return path_.string();
  }

 private:
  static inline int count_ = 0;
  fs::path path_;
};

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

UNet2DConditionConfig tiny_unet() {
  UNet2DConditionConfig config;
  config.block_out_channels = {8, 16};
  config.layers_per_block = {1};
  config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  config.norm_num_groups = 4;
  config.cross_attention_dim = {12};
  config.attention_head_dim = {2};
  return config;
}

AutoencoderKLConfig tiny_autoencoder() {
  AutoencoderKLConfig config;
  config.block_out_channels = {8, 8};
  config.down_block_types = {"DownEncoderBlock2D", "DownEncoderBlock2D"};
  config.up_block_types = {"UpDecoderBlock2D", "UpDecoderBlock2D"};
  config.norm_num_groups = 4;
  config.in_channels = config.out_channels = 1;
  return config;
}

CLIPTextConfig tiny_text() {
  CLIPTextConfig config;
  config.vocab_size = 20;
  config.hidden_size = 12;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.max_position_embeddings = 8;
  config.eos_token_id = 19;
  return config;
}

std::string unet_error(const std::string& json) {
  return error_of([&] { UNet2DConditionModel{UNet2DConditionConfig::from_json(json)}; });
}

TEST(DiffusionConfig, RoundTrip) {
  UNet2DConditionConfig unet = tiny_unet();
  unet.sample_size = {8, 6};
  unet.class_embed_type = "projection";
  unet.projection_class_embeddings_input_dim = 3;
  unet.mid_block_type.reset();
  unet.only_cross_attention = {true, false};
  unet.norm_eps = 1e-3;
  const std::string text = unet.to_json();
  EXPECT_EQ(UNet2DConditionConfig::from_json(text).to_json(), text);
  AutoencoderKLConfig autoencoder = tiny_autoencoder();
  autoencoder.shift_factor = 0.5;
  autoencoder.latents_mean = {1.0, 2.0};
  EXPECT_EQ(AutoencoderKLConfig::from_json(autoencoder.to_json()).to_json(), autoencoder.to_json());
  CLIPTextConfig clip = tiny_text();
  clip.with_projection = true;
  clip.pad_token_id.reset();
  EXPECT_EQ(CLIPTextConfig::from_json(clip.to_json()).to_json(), clip.to_json());
  EXPECT_EQ(UNet2DConditionConfig::from_json("{}").block_out_channels, UNet2DConditionConfig().block_out_channels);
}

TEST(DiffusionConfig, ErrorsNameTheField) {
  expect_words(unet_error("{"), {"[UNet2DConditionModel]", "JSON"});
  expect_words(unet_error("[]"), {"object"});
  expect_words(unet_error(R"({"dual_cross_attention": true})"), {"dual_cross_attention", "true", "false"});
  expect_words(unet_error(R"({"addition_embed_type": "text_time"})"), {"addition_embed_type", "text_time"});
  expect_words(unet_error(R"({"time_embedding_type": "fourier"})"), {"time_embedding_type", "fourier", "positional"});
  expect_words(unet_error(R"({"num_attention_heads": 8})"), {"num_attention_heads", "8"});
  expect_words(unet_error(R"({"norm_num_groups": null})"), {"norm_num_groups", "null"});
  expect_words(unet_error(R"({"in_channels": "four"})"), {"in_channels", "four"});
  expect_words(unet_error(R"({"in_channels": 0})"), {"in_channels", "0"});
  expect_words(unet_error(R"({"in_channels": [4]})"), {"in_channels", "[4]"});
  expect_words(unet_error(R"({"in_channels": 18446744073709551615})"), {"in_channels"});
  expect_words(unet_error(R"({"block_out_channels": [1000000000000]})"), {"block_out_channels", "1000000000000"});
  expect_words(unet_error(R"({"layers_per_block": 100000})"), {"layers_per_block", "100000"});
  expect_words(unet_error(R"({"transformer_layers_per_block": [[1], [2]]})"), {"transformer_layers_per_block"});
  expect_words(unet_error(R"({"surprise": 1, "_private": 1, "other": "x"})"), {"not known", "surprise", "other"});
  EXPECT_EQ(unet_error(R"({"surprise": null, "nothing": false, "_private": 1, "block_out_channels": [32, 32, 32, 32],
                           "cross_attention_dim": 8})"),
            "");
  expect_words(error_of([] { AutoencoderKLConfig::from_json(R"({"norm_type": "spatial"})"); }), {"[AutoencoderKL]", "norm_type"});
  expect_words(error_of([] { CLIPTextConfig::from_json(R"({"architectures": ["CLIPModel"]})"); }), {"[CLIPTextModel]", "architectures"});
  expect_words(error_of([] { CLIPTextConfig::from_json(R"({"attention_dropout": 0.5})"); }), {"attention_dropout"});
}

TEST(DiffusionConfig, ErrorsOfModels) {
  const auto error_with = [](auto change) {
    UNet2DConditionConfig config = tiny_unet();
    change(config);
    return error_of([&] { UNet2DConditionModel{config}; });
  };
  expect_words(error_with([](auto& c) { c.down_block_types[0] = "AttnDownBlock2D"; }), {"down_block_types", "AttnDownBlock2D"});
  expect_words(error_with([](auto& c) { c.up_block_types[1] = "KUpBlock2D"; }), {"up_block_types", "KUpBlock2D"});
  expect_words(error_with([](auto& c) { c.mid_block_type = "Other"; }), {"mid_block_type", "Other"});
  expect_words(error_with([](auto& c) { c.up_block_types.pop_back(); }), {"up_block_types", "got 1", "expected 2"});
  expect_words(error_with([](auto& c) { c.block_out_channels = {8, 8, 8}; }), {"block_out_channels", "got 3"});
  expect_words(error_with([](auto& c) { c.attention_head_dim = {1, 2, 3}; }), {"attention_head_dim", "3 values"});
  expect_words(error_with([](auto& c) { c.attention_head_dim = {9}; }), {"attention_head_dim", "9 heads"});
  expect_words(error_with([](auto& c) { c.norm_num_groups = 3; }), {"norm_num_groups", "3 groups", "8 channels"});
  expect_words(error_with([](auto& c) { c.act_fn = "tanh"; }), {"act_fn", "tanh"});
  expect_words(error_with([](auto& c) { c.time_embedding_act_fn = "tanh"; }), {"time_embedding_act_fn", "tanh"});
  expect_words(error_with([](auto& c) { c.class_embed_type = "projection"; }), {"projection_class_embeddings_input_dim"});
  expect_words(error_with([](auto& c) { c.class_embed_type = "other"; }), {"class_embed_type", "other"});
  expect_words(error_with([](auto& c) { c.resnet_time_scale_shift = "spatial"; }), {"resnet_time_scale_shift", "spatial"});
  CLIPTextConfig text = tiny_text();
  text.hidden_act = "relu";
  expect_words(error_of([&] { CLIPTextModel{text}; }), {"hidden_act", "relu"});
  text = tiny_text();
  text.num_attention_heads = 5;
  expect_words(error_of([&] { CLIPTextModel{text}; }), {"num_attention_heads", "5", "12"});
  AutoencoderKLConfig autoencoder = tiny_autoencoder();
  autoencoder.down_block_types[0] = "AttnDownEncoderBlock2D";
  expect_words(error_of([&] { AutoencoderKL{autoencoder}; }), {"down_block_types", "AttnDownEncoderBlock2D"});
}

TEST(DiffusionModels, ErrorsOfInputs) {
  UNet2DConditionModel unet(tiny_unet());
  const at::Tensor sample = at::zeros({2, 4, 8, 8}), states = at::zeros({2, 3, 12});
  expect_words(error_of([&] { unet.forward(at::zeros({2, 3, 8, 8}), 1, states); }), {"sample", "[2, 3, 8, 8]", "[B, 4, H, W]"});
  expect_words(error_of([&] { unet.forward(sample, 1, at::zeros({2, 3, 13})); }), {"encoder_hidden_states", "[2, 3, 13]"});
  expect_words(error_of([&] { unet.forward(sample, 1, at::zeros({1, 3, 12})); }), {"encoder_hidden_states", "[1, 3, 12]"});
  expect_words(error_of([&] { unet.forward(sample, at::zeros({3}), states); }), {"timestep", "[3]"});
  expect_words(error_of([&] { unet.forward(sample, 1, states, {{}, at::zeros({2, 4}), {}}); }), {"timestep_cond"});
  expect_words(error_of([&] { unet.forward(sample, 1, states, {{}, {}, at::ones({2, 4})}); }), {"encoder_attention_mask", "[2, 4]"});
  UNet2DConditionConfig with_classes = tiny_unet();
  with_classes.num_class_embeds = 3;
  expect_words(error_of([&] { UNet2DConditionModel(with_classes).forward(sample, 1, states); }), {"class_labels"});
  CLIPTextModel text(tiny_text());
  expect_words(error_of([&] { text.forward(at::zeros({1, 9}, at::kLong)); }), {"max_position_embeddings", "9", "8"});
  expect_words(error_of([&] { text.forward(at::zeros({1, 4})); }), {"input_ids", "Float"});
  expect_words(error_of([&] { text.embed(at::zeros({1, 4}, at::kLong), 3); }), {"clip_skip", "3"});
  AutoencoderKL autoencoder(tiny_autoencoder());
  expect_words(error_of([&] { autoencoder.encode(at::zeros({1, 3, 8, 8})); }), {"images", "[1, 3, 8, 8]"});
  expect_words(error_of([&] { autoencoder.decode(at::zeros({4, 8, 8})); }), {"latents", "[4, 8, 8]"});
}

TEST(DiffusionFolders, Broken) {
  const Folder folder;
  const auto load = [&] { return error_of([&] { UNet2DConditionModel::from_pretrained(folder.str()); }); };
  expect_words(error_of([] { UNet2DConditionModel::from_pretrained("/nowhere", "unet"); }), {"no folder", "/nowhere/unet"});
  expect_words(load(), {"config.json"});
  write(folder / "config.json", tiny_unet().to_json());
  expect_words(load(), {"no diffusion_pytorch_model.safetensors"});
  write(folder / "diffusion_pytorch_model.bin", "x");
  expect_words(load(), {"pickle", "diffusion_pytorch_model.bin", "safetensors"});
  write(folder / "diffusion_pytorch_model.safetensors", "not one");
  expect_words(load(), {"diffusion_pytorch_model.safetensors"});

  UNet2DConditionModel(tiny_unet()).save_pretrained(folder.str());
  const std::string path = (folder / "diffusion_pytorch_model.safetensors").string();
  const auto good = load_safetensors(path);
  EXPECT_EQ(load(), "");
  auto tensors = good;
  tensors.erase("conv_in.bias");
  tensors.erase("mid_block.resnets.0.conv1.weight");
  save_safetensors(path, tensors);
  expect_words(load(), {"lacks", "conv_in.bias", "mid_block.resnets.0.conv1.weight"});
  tensors = good;
  tensors["conv_in.bias"] = at::zeros({9});
  tensors["conv_out.bias"] = at::zeros({4}, at::kInt);
  save_safetensors(path, tensors);
  expect_words(load(), {"conv_in.bias", "[9]", "[8]", "conv_out.bias", "Int"});
  tensors = good;
  tensors["surplus.weight"] = at::zeros({2});
  save_safetensors(path, tensors);
  EXPECT_EQ(UNet2DConditionModel::from_pretrained(folder.str())->surplus_tensors(), std::vector<std::string>{"surplus.weight"});
  expect_words(error_of([&] { UNet2DConditionModel::from_pretrained(folder.str(), "", at::kInt); }), {"dtype", "Int"});
  expect_words(error_of([&] { UNet2DConditionModel::from_pretrained(folder.str(), "", at::kFloat, "fp16"); }), {"fp16"});

  // A config of a model that no memory could hold: refused by comparison with the file.
  UNet2DConditionConfig huge = tiny_unet();
  huge.block_out_channels = {1 << 20, 1 << 20};
  huge.cross_attention_dim = {1 << 20};
  write(folder / "config.json", huge.to_json());
  save_safetensors(path, good);
  expect_words(load(), {"do not fit", "1048576"});
}

TEST(DiffusionFolders, RoundTrip) {
  const Folder folder;
  at::manual_seed(3);
  UNet2DConditionModel unet(tiny_unet());
  at::manual_seed(3);
  UNet2DConditionModel same(tiny_unet());
  const at::Tensor sample = at::randn({1, 4, 8, 8}), states = at::randn({1, 3, 12});
  const at::NoGradGuard no_grad;
  const at::Tensor expected = unet.forward(sample, 7, states);
  EXPECT_TRUE(at::equal(same.forward(sample, 7, states), expected));  // seeded
  unet.to(kDevice);                                                   // saved from the device
  unet.save_pretrained((folder / "pipeline/unet").string());
  const auto loaded = UNet2DConditionModel::from_pretrained(folder.str(), "pipeline/unet");
  EXPECT_TRUE(at::equal(loaded->forward(sample, 7, states), expected));
  EXPECT_FALSE(loaded->is_training());
  const auto half = UNet2DConditionModel::from_pretrained(folder.str(), "pipeline/unet", at::kBFloat16);
  for (const auto& parameter : half->parameters()) {
    EXPECT_EQ(parameter.scalar_type(), at::kBFloat16);
    EXPECT_TRUE(parameter.is_contiguous() && parameter.requires_grad() && parameter.is_leaf());
  }
  CLIPTextConfig text_config = tiny_text();
  text_config.with_projection = true;
  CLIPTextModel text(text_config);
  text.save_pretrained((folder / "text").string());
  const at::Tensor ids = at::randint(0, 20, {2, 8}, at::kLong);
  EXPECT_TRUE(
      at::equal(CLIPTextModel::from_pretrained((folder / "text").string())->forward(ids).text_embeds, text.forward(ids).text_embeds));
}

// Another time, sample or prompt compiles nothing; nothing leaves the device, and every attention is one library call.
TEST(DiffusionModels, OneGraphOnTheDevice) {
  const CompileAtOnce tier;
  UNet2DConditionModel unet(tiny_unet());
  unet.to(kDevice);
  const at::NoGradGuard no_grad;
  std::map<std::string, uint64_t> before;
  for (int step = 0; step < 3; ++step) {
    const at::Tensor sample = at::randn({2, 4, 8, 8}).to(kDevice), states = at::randn({2, 3, 12}).to(kDevice);
    synchronize();
    before = metrics_snapshot();
    unet.forward(sample, 100.0 * step, states).cpu();
  }
  auto moved = metrics_snapshot();
  for (auto& [name, count] : moved) {
    count -= before[name];
  }
  EXPECT_EQ(moved["compilations"], 0);
  EXPECT_EQ(moved["flushes"], 1);
  EXPECT_EQ(moved["extern_calls"] + moved["breaking_calls"] + moved["eager_calls"], 0)
      << testing::PrintToString(metrics_details("extern_calls"));
}

// A few steps of gradient descent of the whole latent diffusion model.
TEST(DiffusionModels, TrainingOnTheDevice) {
  at::manual_seed(0);
  CLIPTextModel text(tiny_text());
  AutoencoderKL autoencoder(tiny_autoencoder());
  UNet2DConditionConfig config = tiny_unet();
  config.dropout = 0.1;
  UNet2DConditionModel unet(config);
  std::vector<at::Tensor> parameters;
  for (torch::nn::Module* model : std::initializer_list<torch::nn::Module*>{&text, &autoencoder, &unet}) {
    model->to(kDevice);
    model->train();
    const auto own = model->parameters();
    parameters.insert(parameters.end(), own.begin(), own.end());
  }
  const at::Tensor images = at::rand({2, 1, 16, 16}).to(kDevice), ids = at::randint(0, 20, {2, 8}, at::kLong).to(kDevice);
  const at::Tensor noise = at::randn({2, 4, 8, 8}).to(kDevice), times = at::full({2}, 10, at::kLong).to(kDevice);
  std::vector<double> losses;
  for (int step = 0; step < 6; ++step) {
    const DiagonalGaussian latents = autoencoder.encode(images);
    const at::Tensor z = latents.sample();
    const at::Tensor predicted = unet.forward(autoencoder.scale(z) + noise, times, text.forward(ids).last_hidden_state);
    const at::Tensor loss = at::mse_loss(predicted, noise) + at::mse_loss(autoencoder.decode(z), images) + 1e-6 * latents.kl().mean();
    loss.backward();
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : parameters) {
      if (parameter.grad().defined()) {
        parameter.sub_(parameter.grad() * 0.05);
        parameter.mutable_grad().reset();
      }
    }
    mark_step();
    losses.push_back(loss.item<double>());
  }
  EXPECT_LT(losses.back(), losses.front());
}

}  // namespace
