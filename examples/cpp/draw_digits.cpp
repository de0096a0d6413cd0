// Measures how well a Stable Diffusion of handwritten digits does what its prompts say: it draws pictures of random prompts, and a classifier that was
// trained on real digits alone reads them. Also draws a grid of all digits in all styles.
#include <torch/nn.h>
#include <torch_hpu/device.h>
#include <torch_hpu/diffusion.h>
#include <torch_hpu/trainer.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <random>

#include "digit_pictures.h"

namespace {

// 32 x 32 pixels to 10 scores.
struct ReaderImpl : torch::nn::Module {
  torch::nn::Sequential net{torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 24, 3).padding(1)),
                            torch::nn::ReLU(),
                            torch::nn::MaxPool2d(2),
                            torch::nn::Conv2d(torch::nn::Conv2dOptions(24, 48, 3).padding(1)),
                            torch::nn::ReLU(),
                            torch::nn::MaxPool2d(2),
                            torch::nn::Conv2d(torch::nn::Conv2dOptions(48, 96, 3).padding(1)),
                            torch::nn::ReLU(),
                            torch::nn::MaxPool2d(2),
                            torch::nn::Flatten(),
                            torch::nn::Dropout(0.3),
                            torch::nn::Linear(96 * 4 * 4, 10)};

  ReaderImpl() {
    register_module("net", net);
  }
  at::Tensor scores(const at::Tensor& pictures) {  // [N, 1, 32, 32] in [0, 1]
    return net->forward(pictures - 0.5);
  }
  torch_hpu::ModelOutput forward(const torch_hpu::Batch& batch) {
    const at::Tensor scores_of = scores(batch.at("pixel_values"));
    return {at::nll_loss(at::log_softmax(scores_of, 1), batch.at("labels")), {scores_of}};
  }
};
TORCH_MODULE(Reader);

// Real digits in all styles.
std::shared_ptr<torch_hpu::Dataset> real_pictures(const std::string& data, const std::string& split) {
  const ScannedDigits digits = scanned_digits(data, split);
  std::vector<at::Tensor> pictures, labels;
  for (int number = 0; number < kStyles; ++number) {
    pictures.push_back(draw(digits.images, style_of(number, 0)));
    labels.push_back(digits.labels);
  }
  return std::make_shared<torch_hpu::TensorDataset>(
      std::map<std::string, at::Tensor>{{"pixel_values", at::cat(pictures)}, {"labels", at::cat(labels)}});
}

// Trains a reader; returns which part of unseen real digits it reads, too.
std::pair<Reader, double> train_reader(const std::string& data, int64_t steps, c10::Device device) {
  torch_hpu::GaudiTrainingArguments args;
  args.output_dir = "build/digit_reader";
  args.overwrite_output_dir = true;
  args.use_habana = args.use_lazy_mode = device == torch_hpu::kDevice;
  args.use_cpu = !args.use_habana;
  args.max_steps = steps;
  args.per_device_train_batch_size = args.per_device_eval_batch_size = 64;
  args.learning_rate = 2e-3;
  args.lr_scheduler_type = "cosine";
  args.save_strategy = "no";
  torch_hpu::TrainerOptions options;
  options.train_dataset = real_pictures(data, "train");
  options.eval_dataset = real_pictures(data, "test");
  options.compute_metrics = [](const torch_hpu::Predictions& all) {
    torch_hpu::Log log;
    log.set("accuracy", all.predictions[0].argmax(1).eq(all.labels.at("labels")).to(at::kDouble).mean().item<double>());
    return log;
  };
  torch::manual_seed(1);
  Reader reader;
  torch_hpu::GaudiTrainer trainer(torch_hpu::trainer_model(reader), {}, args, options);
  trainer.train();
  const double accuracy = trainer.evaluate().number("eval_accuracy");
  reader->eval();
  return {reader, accuracy};
}

struct Settings {
  std::string model = "examples/data/digits_diffusion", data = "examples/data/digits.safetensors", grid;
  int64_t count = 1000, steps = 20, batch = 50, reader_steps = 1500;
  double guidance = 4, least = 0;
  uint64_t seed = 0;
  bool cpu = false;
};

torch_hpu::GenerationOptions generation_options(const Settings& s, std::vector<std::string> prompts) {
  torch_hpu::GenerationOptions options;
  options.prompt = std::move(prompts);
  options.num_inference_steps = s.steps;
  options.guidance_scale = s.guidance;
  options.batch_size = std::min<int64_t>(s.batch, static_cast<int64_t>(options.prompt.size()));
  options.generators = torch_hpu::cpu_generators({s.seed});
  options.quiet = true;
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app("Draws digits from random prompts and lets a classifier of real digits read them.");
  app.add_option("--model", s.model, "folder in diffusers' format")->capture_default_str();
  app.add_option("--data", s.data, "digits file, from tools/make_digits.py")->capture_default_str();
  app.add_option("--count", s.count, "pictures to draw and read")->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_option("--steps", s.steps, "denoising steps")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--guidance", s.guidance)->capture_default_str();
  app.add_option("--batch-size", s.batch, "pictures at once")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--reader-steps", s.reader_steps, "training steps of the classifier")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--seed", s.seed)->capture_default_str();
  app.add_option("--at-least", s.least, "fail when fewer percent are read as asked for")->capture_default_str();
  app.add_option("--grid", s.grid, "PNG file of all digits in all styles");
  app.add_flag("--cpu", s.cpu, "on LibTorch's CPU backend");
  CLI11_PARSE(app, argc, argv);
  try {
    torch_hpu::DiffusionPipelineOptions pipeline_options;
    pipeline_options.use_habana = pipeline_options.use_hpu_graphs = !s.cpu;
    const auto pipeline = torch_hpu::GaudiStableDiffusionPipeline::from_pretrained(s.model, pipeline_options);
    if (!s.grid.empty()) {
      std::vector<std::string> prompts;
      for (int digit = 0; digit < 10; ++digit) {
        for (int number = 0; number < kStyles; ++number) {
          prompts.push_back(describe(style_of(number, digit)));
        }
      }
      torch_hpu::save_png(s.grid, torch_hpu::image_grid((*pipeline)(generation_options(s, prompts)).images, kStyles));
      std::printf("a row for each digit, a column for each style: %s\n", s.grid.c_str());
    }
    if (s.count == 0) {
      return 0;
    }
    auto [reader, accuracy] = train_reader(s.data, s.reader_steps, pipeline->device());
    std::printf("the classifier reads %.2f %% of real digits that it has not seen\n", 100 * accuracy);

    std::mt19937_64 random(s.seed);
    std::vector<std::string> prompts;
    std::vector<DigitStyle> styles;
    for (int64_t i = 0; i < s.count; ++i) {
      styles.push_back(style_of(static_cast<int>(random() % kStyles), static_cast<int>(random() % 10)));
      prompts.push_back(describe(styles.back(), random() % 2 == 0));
    }
    const auto drawn = (*pipeline)(generation_options(s, prompts));
    const at::NoGradGuard no_grad;
    const at::Tensor pictures = drawn.images.to(at::kFloat).mean(3).unsqueeze(1) / 255;
    const at::Tensor read = reader->scores(pictures.to(pipeline->device())).argmax(1).cpu();
    std::map<int, std::pair<int64_t, int64_t>> by_digit;
    int64_t correct = 0;
    for (int64_t i = 0; i < s.count; ++i) {
      const DigitStyle& style = styles[static_cast<size_t>(i)];
      const bool as_asked = read[i].item<int64_t>() == style.digit;
      correct += as_asked;
      by_digit[style.digit].first += as_asked;
      ++by_digit[style.digit].second;
    }
    for (const auto& [digit, counts] : by_digit) {
      std::printf("%d: %ld of %ld\n", digit, counts.first, counts.second);
    }
    const double percent = 100.0 * static_cast<double>(correct) / static_cast<double>(s.count);
    std::printf("%ld of %ld pictures (%.1f %%) are read as the digit that the prompt asked for; %.1f pictures/s\n", correct, s.count,
                percent, drawn.throughput);
    if (percent < s.least) {
      std::fprintf(stderr, "that is less than %.1f %%\n", s.least);
      return 1;
    }
    return 0;
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "%s\n", e.what_without_backtrace());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
  return 1;
}
