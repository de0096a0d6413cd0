// Pictures, noise and batches of Stable Diffusion.
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch_hpu/device.h>
#include <torch_hpu/ddim_scheduler.h>
#include <torch_hpu/diffusion_images.h>
#include <torch_hpu/diffusion_loop.h>
#include <torch_hpu/metrics.h>
#include <unistd.h>

#include <filesystem>

#include "test/cpp/api/compile_at_once.h"

namespace {

std::string scratch_file() {
  return (std::filesystem::temp_directory_path() / ("torch_hpu_picture_" + std::to_string(getpid()) + ".png")).string();
}

TEST(Images, PngKeepsEveryPixel) {
  const at::Tensor image = at::arange(5 * 7 * 3, at::kByte).view({5, 7, 3}).contiguous();
  const std::string path = scratch_file();
  torch_hpu::save_png(path, image.transpose(0, 1));
  const at::Tensor read = torch_hpu::load_png(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(at::equal(read, image.transpose(0, 1)));
}

TEST(Images, WrongOnesAreRefused) {
  EXPECT_THROW(torch_hpu::save_png("/nowhere/at/all.png", at::zeros({2, 2, 3}, at::kByte)), c10::Error);
  EXPECT_THROW(torch_hpu::save_png(scratch_file(), at::zeros({2, 2, 3})), c10::Error);
  EXPECT_THROW(torch_hpu::save_png(scratch_file(), at::zeros({0, 2, 3}, at::kByte)), c10::Error);
  EXPECT_THROW(torch_hpu::image_grid(at::zeros({0, 2, 2, 3}, at::kByte)), c10::Error);
  EXPECT_THROW(torch_hpu::to_images(at::zeros({1, 4, 2, 2})), c10::Error);
  EXPECT_THROW(torch_hpu::load_png("/nowhere/at/all.png"), c10::Error);
  EXPECT_THROW(torch_hpu::load_png("/proc/self/exe"), c10::Error);
}

TEST(Images, GridIsFilledRowByRow) {
  const at::Tensor images = at::ones({3, 2, 4, 3}, at::kByte) * at::arange(1, 4, at::kByte).view({3, 1, 1, 1});
  const at::Tensor grid = torch_hpu::image_grid(images);
  ASSERT_EQ(grid.sizes(), (at::IntArrayRef{4, 8, 3}));
  EXPECT_EQ(grid[0][7][0].item<int>(), 2);
  EXPECT_EQ(grid[2][0][0].item<int>(), 3);
  EXPECT_EQ(grid[3][7][2].item<int>(), 0);
  EXPECT_EQ(torch_hpu::to_images(at::full({1, 3, 1, 1}, 9.0))[0][0][0][0].item<int>(), 255);
}

TEST(Noise, OneGeneratorForAllOrOneForEach) {
  const auto draw = [](at::IntArrayRef shape, const std::vector<uint64_t>& seeds) {
    return torch_hpu::draw_noise(shape, torch_hpu::cpu_generators(seeds), at::kFloat, at::kCPU);
  };
  const at::Tensor all = draw({2, 4, 3, 3}, {7});
  EXPECT_TRUE(at::equal(all, at::randn({2, 4, 3, 3}, torch_hpu::cpu_generators({7})[0], at::kFloat)));
  const at::Tensor each = draw({2, 4, 3, 3}, {7, 8});
  EXPECT_TRUE(at::equal(each.narrow(0, 1, 1), draw({1, 4, 3, 3}, {8})));
  EXPECT_THROW(draw({3, 4, 3, 3}, {7, 8}), c10::Error);
}

TEST(Batches, TheLastOneIsFilledWithZeros) {
  const at::Tensor latents = at::ones({5, 4, 2, 2}), text = at::ones({5, 7, 6}), negative = at::full({5, 7, 6}, 2.0);
  const auto batches = torch_hpu::split_into_batches(latents, text, negative, 3);
  ASSERT_EQ(batches.latents.size(), 2u);
  EXPECT_EQ(batches.dummies, 1);
  EXPECT_EQ(batches.latents[1].sum().item<double>(), 2 * 16);
  ASSERT_EQ(batches.embeddings[1].size(0), 6);
  EXPECT_EQ(batches.embeddings[1].sum({1, 2})[1].item<double>(), 2 * 42);
  EXPECT_EQ(batches.embeddings[1].sum({1, 2})[2].item<double>(), 0);
  EXPECT_EQ(batches.embeddings[1].sum({1, 2})[3].item<double>(), 42);
  EXPECT_EQ(torch_hpu::split_into_batches(latents, text, {}, 5).dummies, 0);
  EXPECT_THROW(torch_hpu::split_into_batches(latents, text, {}, 0), c10::Error);
  EXPECT_THROW(torch_hpu::split_into_batches(latents, text.narrow(0, 0, 4), {}, 2), c10::Error);
}

TEST(Guidance, ScaleIsATensorAndRescaleKeepsTheDeviation) {
  const at::Tensor prediction = at::randn({4, 4, 3, 3}, torch_hpu::cpu_generators({1})[0], at::kFloat);
  const at::Tensor scale = at::full({1}, 7.5), negative = prediction.narrow(0, 0, 2), positive = prediction.narrow(0, 2, 2);
  EXPECT_TRUE(torch_hpu::guide(prediction, scale).allclose(negative + (positive - negative) * 7.5));
  const at::Tensor rescaled = torch_hpu::guide(prediction, scale, 1);
  EXPECT_TRUE(rescaled[1].std().allclose(positive[1].std()));
  EXPECT_THROW(torch_hpu::guide(prediction.narrow(0, 0, 3), scale), c10::Error);
  EXPECT_THROW(torch_hpu::guide(prediction, prediction), c10::Error);
  EXPECT_THROW(torch_hpu::guide(prediction, scale, 2), c10::Error);
}

// A generation whose first `slow` steps take 10 s and all others 1 s; decoding takes 2 s.
torch_hpu::DiffusionThroughput clocked(int64_t batches, int64_t batch_size, int64_t steps, int64_t slow) {
  torch_hpu::ThroughputClock clock(batches, batch_size, steps);
  double now = 100;
  for (int64_t batch = 0; batch < batches; ++batch) {
    for (int64_t step = 0; step < steps; ++step) {
      clock.before_step(batch, step, now);
      now += batch == 0 && step < slow ? 10 : 1;
    }
    clock.after_denoising(now);
    now += 2;
  }
  return clock.finish(now);
}

TEST(Throughput, LeavesTheWarmUpOut) {
  const auto many_batches = clocked(5, 2, 4, 3);  // the last two count
  EXPECT_DOUBLE_EQ(many_batches.runtime_seconds, 12);
  EXPECT_DOUBLE_EQ(many_batches.samples_per_second, 4.0 / 12);
  EXPECT_DOUBLE_EQ(many_batches.step_seconds, 1);
  const auto many_steps = clocked(2, 2, 8, 3);  // every step counts 1 s
  EXPECT_DOUBLE_EQ(many_steps.runtime_seconds, 20);
  EXPECT_DOUBLE_EQ(many_steps.steps_per_second, 32.0 / 20);
  EXPECT_DOUBLE_EQ(many_steps.step_seconds, 1);
  const auto few = clocked(2, 1, 2, 2);  // everything
  EXPECT_DOUBLE_EQ(few.runtime_seconds, 26);
  EXPECT_DOUBLE_EQ(few.step_seconds, 5.5);
  EXPECT_THROW(torch_hpu::ThroughputClock(0, 1, 1), c10::Error);
}

std::shared_ptr<torch_hpu::UNet2DConditionModel> small_unet() {
  torch_hpu::UNet2DConditionConfig config;
  config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  config.block_out_channels = {8, 16};
  config.layers_per_block = {1};
  config.norm_num_groups = 4;
  config.cross_attention_dim = {12};
  config.attention_head_dim = {2};
  auto unet = std::make_shared<torch_hpu::UNet2DConditionModel>(config);
  unet->eval();
  return unet;
}

at::Tensor random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, torch_hpu::cpu_generators({seed})[0], at::kFloat);
}

TEST(DenoisingStep, OneGraphForEveryStepEqualsTheCpu) {
  const CompileAtOnce tier;
  const auto unet = small_unet();
  const auto run = [&](bool graphs, c10::Device device, int64_t batch, uint64_t seed, int64_t steps, double guidance,
                       std::unique_ptr<torch_hpu::DenoisingStep>& step) {
    const auto scheduler = torch_hpu::GaudiDDIMScheduler::from_config();
    scheduler->set_timesteps(steps, device);
    if (!step) {
      step = std::make_unique<torch_hpu::DenoisingStep>(unet, scheduler, graphs);
    }
    torch_hpu::DenoisingInputs inputs;
    inputs.latents = random({batch, 4, 8, 8}, seed).to(device);
    inputs.embeddings = random({2 * batch, 7, 12}, seed + 1).to(device);
    inputs.guidance_scale = at::full({1}, guidance).to(device);
    inputs.state = scheduler->initial_state(inputs.latents);
    for (int64_t i = 0; i < steps; ++i) {
      inputs.row = scheduler->step_table(i);
      const at::Tensor prediction = (*step)(inputs);
      EXPECT_EQ(prediction.sizes(), (at::IntArrayRef{2 * batch, 4, 8, 8}));  // before guidance
    }
    return inputs.latents.cpu();
  };
  std::unique_ptr<torch_hpu::DenoisingStep> on_cpu, graphed, lazy;
  const std::vector<at::Tensor> expected{run(false, at::kCPU, 2, 1, 3, 7.5, on_cpu), run(false, at::kCPU, 2, 5, 5, 3, on_cpu)};
  unet->to(torch_hpu::kDevice);
  EXPECT_TRUE(run(true, torch_hpu::kDevice, 2, 1, 3, 7.5, graphed).allclose(expected[0], 1e-3, 1e-3));
  const auto before = torch_hpu::metrics_snapshot().at("compilations");
  EXPECT_TRUE(run(true, torch_hpu::kDevice, 2, 5, 5, 3, graphed).allclose(expected[1], 1e-3, 1e-3));
  EXPECT_EQ(torch_hpu::metrics_snapshot().at("compilations"), before);
  EXPECT_EQ(graphed->graphs(), 1u);
  run(true, torch_hpu::kDevice, 1, 5, 2, 3, graphed);  // another size
  EXPECT_EQ(graphed->graphs(), 2u);
  EXPECT_TRUE(run(false, torch_hpu::kDevice, 2, 5, 5, 3, lazy).allclose(expected[1], 1e-3, 1e-3));
  torch_hpu::DenoisingInputs wrong;
  wrong.latents = expected[0];
  wrong.embeddings = random({3, 7, 12}, 1);
  wrong.guidance_scale = at::full({1}, 2.0);
  EXPECT_THROW((*lazy)(wrong), c10::Error);
}

}  // namespace
