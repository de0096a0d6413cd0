// Draws pictures from prompts with a Stable Diffusion folder in diffusers' format: by default the small one of handwritten digits that is beside this
// program. With --image it starts from a picture; with --benchmark it measures the ways to run a step.
#include <torch_hpu/diffusion.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/memory.h>
#include <torch_hpu/metrics.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

namespace {

using torch_hpu::GaudiStableDiffusionPipeline;
using torch_hpu::GenerationOptions;

struct Settings {
  std::string model = "examples/data/digits_diffusion", output = "picture.png", scheduler, image, device = "hpu";
  std::string prompt = "a bold handwritten seven, inverted", negative;
  std::vector<int64_t> size;                                // width and height
  std::vector<std::string> modes{"cpu", "lazy", "graphs"};  // of the benchmark
  int64_t steps = 50, images = 1, batch = 0, clip_skip = -1, rounds = 3;
  uint64_t seed = 0;
  double guidance = 7.5, eta = 0, strength = 0.8;
  bool graphs = false, bf16 = false, vae_slicing = false, vae_tiling = false, benchmark = false;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double peak_gib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / (1 << 20);
}

torch_hpu::DiffusionPipelineOptions pipeline_options(const Settings& s, const std::string& mode) {
  torch_hpu::DiffusionPipelineOptions options;
  options.use_habana = mode != "cpu";
  options.use_hpu_graphs = mode == "graphs";
  options.bf16_full_eval = s.bf16;
  return options;
}

GenerationOptions generation_options(const Settings& s) {
  GenerationOptions options;
  options.prompt = {s.prompt};
  if (!s.negative.empty()) {
    options.negative_prompt = {s.negative};
  }
  if (!s.size.empty()) {
    options.width = s.size[0];
    options.height = s.size.back();
  }
  options.num_inference_steps = s.steps;
  options.guidance_scale = s.guidance;
  options.eta = s.eta;
  options.num_images_per_prompt = s.images;
  options.batch_size = s.batch > 0 ? s.batch : std::min<int64_t>(s.images, 8);
  options.generators = torch_hpu::cpu_generators({s.seed});
  if (s.clip_skip >= 0) {
    options.clip_skip = s.clip_skip;
  }
  return options;
}

template <typename Pipeline>
std::shared_ptr<Pipeline> load(const Settings& s, const std::string& mode) {
  const double start = now();
  auto pipeline = Pipeline::from_pretrained(s.model, pipeline_options(s, mode));
  if (!s.scheduler.empty()) {
    pipeline->set_scheduler(s.scheduler);
  }
  if (s.vae_slicing) {
    pipeline->enable_vae_slicing();
  }
  if (s.vae_tiling) {
    pipeline->enable_vae_tiling();
  }
  std::printf("loaded %s for %s in %.1f s\n", s.model.c_str(), mode.c_str(), now() - start);
  return pipeline;
}

void draw(const Settings& s) {
  const std::string mode = s.device == "cpu" ? "cpu" : s.graphs ? "graphs" : "lazy";
  torch_hpu::GaudiStableDiffusionPipelineOutput result;
  const double start = now();
  if (s.image.empty()) {
    result = (*load<GaudiStableDiffusionPipeline>(s, mode))(generation_options(s));
  } else {
    const auto pipeline = load<torch_hpu::GaudiStableDiffusionImg2ImgPipeline>(s, mode);
    result = (*pipeline)(torch_hpu::load_png(s.image), s.strength, generation_options(s));
  }
  torch_hpu::save_png(s.output, s.images == 1 ? result.images[0] : torch_hpu::image_grid(result.images));
  std::printf(
      "\"%s\": %ld picture(s) of %ld x %ld pixels in %.1f s; first steps with %ld graphs compiled %.2f s, then %.4f s per step of %ld "
      "picture(s), %.3f pictures/s; peak memory %.2f GiB; %s\n",
      s.prompt.c_str(), result.images.size(0), result.images.size(2), result.images.size(1), now() - start, result.graphs_compiled,
      result.warmup_seconds, result.metrics.step_seconds, generation_options(s).batch_size, result.throughput, peak_gib(),
      s.output.c_str());
}

// The same pictures on LibTorch's CPU backend, lazily and by HPU Graph, in turns.
void measure(const Settings& s) {
  std::map<std::string, std::shared_ptr<GaudiStableDiffusionPipeline>> pipelines;
  std::map<std::string, std::vector<double>> seconds;  // per step of a batch
  GenerationOptions options = generation_options(s);
  options.quiet = true;
  for (const std::string& mode : s.modes) {
    pipelines[mode] = load<GaudiStableDiffusionPipeline>(s, mode);
    const auto first = (*pipelines[mode])(options);
    std::printf("%-6s first call: %.2f s in its first steps, %ld graphs compiled\n", mode.c_str(), first.warmup_seconds,
                first.graphs_compiled);
  }
  for (int64_t round = 0; round < s.rounds; ++round) {
    for (const std::string& mode : s.modes) {
      options.generators = torch_hpu::cpu_generators({s.seed + static_cast<uint64_t>(round)});
      const auto result = (*pipelines[mode])(options);
      TORCH_CHECK(result.graphs_compiled == 0, "a later call compiled ", result.graphs_compiled, " graphs");
      seconds[mode].push_back(result.metrics.step_seconds);
    }
  }
  std::map<std::string, double> medians;
  for (auto& [mode, values] : seconds) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    medians[mode] = values[values.size() / 2];
  }
  for (const std::string& mode : s.modes) {
    std::printf("%-6s %.5f s per step of a batch, %.2f x the speed of %s\n", mode.c_str(), medians[mode],
                medians[s.modes[0]] / medians[mode], s.modes[0].c_str());
  }
  std::printf("peak memory %.2f GiB\n", peak_gib());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app("Draws pictures from prompts.");
  app.add_option("--model", s.model, "folder in diffusers' format")->capture_default_str();
  app.add_option("--prompt", s.prompt, "what to draw")->capture_default_str();
  app.add_option("--negative", s.negative, "what not to draw");
  app.add_option("--steps", s.steps, "denoising steps")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--guidance", s.guidance, "how much the prompt counts; up to 1: not at all")->capture_default_str();
  app.add_option("--seed", s.seed)->capture_default_str();
  app.add_option("--images", s.images, "how many pictures; several are saved as a grid")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--batch-size", s.batch, "pictures at once; by default all, up to 8");
  app.add_option("--size", s.size, "in pixels: one number, or width and height; by default the model's")
      ->expected(1, 2)
      ->check(CLI::PositiveNumber);
  app.add_option("--scheduler", s.scheduler, "another one than the model's")
      ->check(CLI::IsMember(torch_hpu::DiffusionScheduler::class_names()));
  app.add_option("--eta", s.eta, "noise of DDIM, 0 to 1")->capture_default_str();
  app.add_option("--clip-skip", s.clip_skip, "layers of the text encoder to leave out");
  app.add_option("--image", s.image, "PNG file to start from");
  app.add_option("--strength", s.strength, "how much of it may change, up to 1")->capture_default_str();
  app.add_option("--device", s.device)->check(CLI::IsMember({"hpu", "cpu"}))->capture_default_str();
  app.add_flag("--use-hpu-graphs", s.graphs, "capture the step once, replay it");
  app.add_flag("--bf16", s.bf16, "weights and arithmetic in bfloat16");
  app.add_flag("--vae-slicing", s.vae_slicing, "decode one picture of a batch at a time: less memory");
  app.add_flag("--vae-tiling", s.vae_tiling, "decode pictures larger than the model's in overlapping tiles: less memory");
  app.add_option("--output", s.output, "PNG file")->capture_default_str();
  app.add_flag("--benchmark", s.benchmark, "compare a step on LibTorch's CPU backend (cpu), lazily and by HPU Graph");
  app.add_option("--modes", s.modes, "that are compared")->check(CLI::IsMember({"cpu", "lazy", "graphs"}))->capture_default_str();
  app.add_option("--rounds", s.rounds, "of the benchmark")->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    if (std::getenv("TORCH_HPU_TIER") == nullptr) {
      torch_hpu::set_option("tier", "compiled");  // compile in the first step, so that warm-up and steady state can be told apart
    }
    s.benchmark ? measure(s) : draw(s);
    return 0;
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "%s\n", e.what_without_backtrace());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
  return 1;
}
