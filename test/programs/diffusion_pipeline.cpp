// What test/python/test_diffusion_pipeline.py compares with diffusers: diffusion_pipeline TASKS.json. Tasks are done one after the other; a task with
// "reuse" goes on with the pipeline of the task before. Results go to safetensors files, and a line of JSON for each task to stdout.
#include <torch_hpu/diffusion.h>
#include <torch_hpu/memory.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/safetensors.h>

#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

namespace {

using Json = nlohmann::json;
using namespace torch_hpu;

DiffusionPipelineOptions pipeline_options(const Json& task) {
  const std::string mode = task.value("mode", "cpu");
  DiffusionPipelineOptions options;
  options.use_habana = task.value("use_habana", mode != "cpu");
  options.use_hpu_graphs = mode == "graphs";
  options.bf16_full_eval = task.value("bf16", false);
  if (task.value("autocast", false)) {
    options.gaudi_config.emplace().use_torch_autocast = true;
  }
  return options;
}

GenerationOptions generation_options(const Json& task, const std::map<std::string, at::Tensor>& inputs) {
  const auto input = [&](const char* name) { return inputs.count(name) ? inputs.at(name) : at::Tensor(); };
  const std::map<std::string, DiffusionOutput> types = {
      {"image", DiffusionOutput::kImages}, {"np", DiffusionOutput::kArrays}, {"latent", DiffusionOutput::kLatents}};
  GenerationOptions options;
  options.prompt = task.value("prompt", std::vector<std::string>{});
  options.negative_prompt = task.value("negative_prompt", std::vector<std::string>{});
  options.prompt_embeds = input("prompt_embeds");
  options.negative_prompt_embeds = input("negative_prompt_embeds");
  options.latents = input("latents");
  options.height = task.value("height", 0);
  options.width = task.value("width", 0);
  options.num_inference_steps = task.value("steps", 5);
  options.timesteps = task.value("timesteps", std::vector<int64_t>{});
  options.guidance_scale = task.value("guidance_scale", 7.5);
  options.guidance_rescale = task.value("guidance_rescale", 0.0);
  options.num_images_per_prompt = task.value("images", 1);
  options.batch_size = task.value("batch_size", 1);
  options.eta = task.value("eta", 0.0);
  options.generators = cpu_generators(task.value("seeds", std::vector<uint64_t>{}));
  if (task.contains("clip_skip")) {
    options.clip_skip = task["clip_skip"].get<int64_t>();
  }
  options.output_type = types.at(task.value("output", "np"));
  options.quiet = !task.value("verbose", false);
  return options;
}

struct Pipelines {
  std::shared_ptr<GaudiStableDiffusionPipeline> text;
  std::shared_ptr<GaudiStableDiffusionImg2ImgPipeline> image;

  DiffusionPipeline& any() {
    return text ? static_cast<DiffusionPipeline&>(*text) : *image;
  }
};

void open(Pipelines& pipelines, const Json& task) {
  pipelines = {};
  const std::string folder = task.at("folder");
  if (task.value("kind", "text") == "text") {
    pipelines.text = GaudiStableDiffusionPipeline::from_pretrained(folder, pipeline_options(task), task.value("variant", ""));
  } else {
    pipelines.image = GaudiStableDiffusionImg2ImgPipeline::from_pretrained(folder, pipeline_options(task), task.value("variant", ""));
  }
}

Json run(Pipelines& pipelines, const Json& task) {
  if (!task.value("reuse", false)) {
    open(pipelines, task);
  }
  if (task.contains("scheduler")) {
    pipelines.any().set_scheduler(task["scheduler"]);
  }
  task.value("vae_slicing", false) ? pipelines.any().enable_vae_slicing() : pipelines.any().disable_vae_slicing();
  task.value("vae_tiling", false) ? pipelines.any().enable_vae_tiling() : pipelines.any().disable_vae_tiling();
  std::map<std::string, at::Tensor> inputs, outputs;
  if (task.contains("inputs")) {
    inputs = load_safetensors(task["inputs"]);
  }
  GenerationOptions options = generation_options(task, inputs);
  const int64_t stop_after = task.value("stop_after", -1);
  const bool from_thread = task.value("stop_from_thread", false);
  const bool keep = task.value("keep_steps", false);
  if (stop_after >= 0 || keep) {
    options.callback = [&](DiffusionProgress& progress) {
      if (keep) {
        for (const auto& [name, tensor] : {std::pair("latents.", progress.latents), std::pair("unet.", progress.prediction)}) {
          outputs[c10::str(name, progress.batch, ".", progress.step)] = tensor.cpu().to(at::kFloat);
        }
      }
      if (progress.step == stop_after && from_thread) {
        std::thread([&] { pipelines.any().interrupt(); }).join();
      }
      return progress.step != stop_after || from_thread;
    };
  }
  const auto [positive, negative] = pipelines.any().encode_prompt(options);
  outputs["prompt_embeds"] = positive.cpu().to(at::kFloat);
  if (negative.defined()) {
    outputs["negative_prompt_embeds"] = negative.cpu().to(at::kFloat);
  }
  const auto result =
      pipelines.text ? (*pipelines.text)(options) : (*pipelines.image)(inputs.at("image"), task.value("strength", 0.8), options);
  outputs["images"] = result.images;
  if (task.contains("outputs")) {
    save_safetensors(task["outputs"], outputs);
  }
  if (task.contains("save")) {
    pipelines.any().save_pretrained(task["save"]);
  }
  const auto metrics = metrics_snapshot();
  auto reasons = compilation_reasons();
  reasons.erase(reasons.begin(), reasons.end() - std::min<int64_t>(result.graphs_compiled, static_cast<int64_t>(reasons.size())));
  return {{"reasons", reasons},
          {"graphs_compiled", result.graphs_compiled},
          {"interrupted", result.interrupted},
          {"throughput", result.throughput},
          {"graphs", pipelines.any().graphs()},
          {"extern_calls", metrics.at("extern_calls")},
          {"memory", pipelines.any().device().is_cpu() ? 0 : memory_allocated()},
          {"images", result.images.sizes().vec()}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: diffusion_pipeline TASKS.json\n";
    return 2;
  }
  Pipelines pipelines;
  for (const Json& task : Json::parse(std::ifstream(argv[1]))) {
    Json line;
    try {
      line = run(pipelines, task);
    } catch (const c10::Error& error) {  // the device stays usable for the next task
      line = {{"error", error.what_without_backtrace()}};
    } catch (const std::exception& error) {
      line = {{"error", error.what()}};
    }
    std::cout << line.dump() << std::endl;
  }
  return 0;
}
