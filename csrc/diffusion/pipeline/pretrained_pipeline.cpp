// Folders of whole pipelines: model_index.json and a folder for each component.
#include <torch_hpu/diffusion.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace torch_hpu {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kIndex = "model_index.json";

Json read_index(const fs::path& folder) {
  TORCH_CHECK(fs::is_directory(folder), "[GaudiStableDiffusionPipeline] there is no folder ", folder.string());
  const fs::path path = folder / kIndex;
  std::ifstream file(path);
  TORCH_CHECK(file, "[GaudiStableDiffusionPipeline] there is no ", path.string(), ": a pipeline's folder in diffusers' format has one");
  const Json index = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK(index.is_object(), "[GaudiStableDiffusionPipeline] ", path.string(), " is not a JSON object");
  return index;
}

// The class that the index names for a component; empty: it has none.
std::string class_of(const Json& index, const std::string& component) {
  const auto entry = index.find(component);
  const bool there = entry != index.end() && entry->is_array() && entry->size() == 2 && (*entry)[1].is_string();
  return there ? (*entry)[1].get<std::string>() : "";
}

void check_index(const Json& index, const fs::path& path) {
  static const std::map<std::string, std::set<std::string>> kClasses = {
      {"tokenizer", {"CLIPTokenizer", "CLIPTokenizerFast"}},
      {"text_encoder", {"CLIPTextModel", "CLIPTextModelWithProjection"}},
      {"unet", {"UNet2DConditionModel"}},
      {"vae", {"AutoencoderKL"}},
  };
  const auto pipeline = index.find("_class_name");
  TORCH_CHECK(pipeline != index.end() && pipeline->is_string() &&
                  pipeline->get<std::string>().find("StableDiffusion") != std::string::npos &&
                  pipeline->get<std::string>().find("XL") == std::string::npos,
              "[GaudiStableDiffusionPipeline] ", path.string(), " is of another pipeline: got ",
              pipeline == index.end() ? "no _class_name" : pipeline->dump(), ", expected StableDiffusionPipeline or one of its kind");
  for (const auto& [component, classes] : kClasses) {
    const std::string found = class_of(index, component);
    TORCH_CHECK(classes.count(found), "[GaudiStableDiffusionPipeline] ", path.string(), " names a ", component,
                " that is not supported: got ", found.empty() ? "none" : found, ", expected ", *classes.begin());
  }
  TORCH_CHECK(!class_of(index, "scheduler").empty(), "[GaudiStableDiffusionPipeline] ", path.string(), " names no scheduler");
  static const std::set<std::string> kLeftOut = {"safety_checker", "feature_extractor", "image_encoder"};
  for (const auto& [name, value] : index.items()) {
    if (value.is_array() && !class_of(index, name).empty() && !kClasses.count(name) && name != "scheduler") {
      TORCH_CHECK(kLeftOut.count(name), "[GaudiStableDiffusionPipeline] ", path.string(),
                  " names a component that is not supported: ", name);
      if (name == "safety_checker") {
        TORCH_WARN("[GaudiStableDiffusionPipeline] ", path.string(), " has a safety_checker, which is not run: pictures are not filtered");
      }
    }
  }
}

}  // namespace

std::pair<DiffusionComponents, DiffusionPipelineOptions> DiffusionPipeline::load(const std::string& folder,
                                                                                 DiffusionPipelineOptions options,
                                                                                 const std::string& variant) {
  const Json index = read_index(folder);
  check_index(index, fs::path(folder) / kIndex);
  const fs::path gaudi_config = fs::path(folder) / "gaudi_config.json";
  if (options.use_habana && !options.gaudi_config && fs::exists(gaudi_config)) {
    options.gaudi_config = GaudiConfig::from_pretrained(gaudi_config.string());
  }
  const at::ScalarType dtype = options.bf16_full_eval ? at::kBFloat16 : at::kFloat;
  DiffusionComponents parts;
  parts.scheduler = DiffusionScheduler::from_pretrained(folder, "scheduler");
  parts.tokenizer = std::make_shared<CLIPTokenizer>(CLIPTokenizer::from_pretrained(folder, "tokenizer"));
  parts.text_encoder = CLIPTextModel::from_pretrained(folder, "text_encoder", dtype, variant);
  parts.unet = UNet2DConditionModel::from_pretrained(folder, "unet", dtype, variant);
  parts.vae = AutoencoderKL::from_pretrained(folder, "vae", dtype, variant);
  return {std::move(parts), std::move(options)};
}

void DiffusionPipeline::save_pretrained(const std::string& folder) const {
  const fs::path path(folder);
  std::error_code error;
  fs::create_directories(path, error);
  TORCH_CHECK(fs::is_directory(path), "[GaudiStableDiffusionPipeline] cannot make the folder ", folder, ": ", error.message());
  components_.scheduler->save_pretrained((path / "scheduler").string());
  components_.tokenizer->save_pretrained((path / "tokenizer").string());
  components_.text_encoder->save_pretrained((path / "text_encoder").string());
  components_.unet->save_pretrained((path / "unet").string());
  components_.vae->save_pretrained((path / "vae").string());
  if (options_.gaudi_config) {
    options_.gaudi_config->save_pretrained(folder);
  }
  const bool projects = components_.text_encoder->config().with_projection;
  // A scheduler of Gaudi is written under the name of the one that it equals, so that diffusers alone can read the folder.
  const std::string scheduler =
      components_.scheduler->class_name() == "GaudiDDIMScheduler" ? "DDIMScheduler" : components_.scheduler->class_name();
  const Json index = {{"_class_name", "StableDiffusionPipeline"},
                      {"_diffusers_version", "0.35.1"},
                      {"feature_extractor", {nullptr, nullptr}},
                      {"image_encoder", {nullptr, nullptr}},
                      {"requires_safety_checker", false},
                      {"safety_checker", {nullptr, nullptr}},
                      {"scheduler", {"diffusers", scheduler}},
                      {"text_encoder", {"transformers", projects ? "CLIPTextModelWithProjection" : "CLIPTextModel"}},
                      {"tokenizer", {"transformers", "CLIPTokenizer"}},
                      {"unet", {"diffusers", "UNet2DConditionModel"}},
                      {"vae", {"diffusers", "AutoencoderKL"}}};
  const fs::path file = path / kIndex;
  std::ofstream stream(file, std::ios::trunc);
  stream << index.dump(2) << '\n';
  stream.close();
  TORCH_CHECK(stream, "[GaudiStableDiffusionPipeline] cannot write ", file.string());
}

}  // namespace torch_hpu
