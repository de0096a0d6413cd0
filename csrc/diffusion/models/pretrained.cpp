#include "csrc/diffusion/models/pretrained.h"

#include <ATen/Functions.h>
#include <torch_hpu/safetensors.h>

#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

namespace torch_hpu::diffusion {

namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".safetensors";
constexpr const char* kIndexSuffix = ".safetensors.index.json";

// Names in a sentence; the first of them when there are many.
std::string list_names(const std::vector<std::string>& names) {
  constexpr size_t kMostShown = 20;
  std::string text;
  for (size_t i = 0; i < names.size() && i < kMostShown; ++i) {
    text += (i ? ", " : "") + names[i];
  }
  return names.size() > kMostShown ? text + " and " + std::to_string(names.size() - kMostShown) + " more" : text;
}

// The path of a variant's file or index, or empty. diffusers puts the variant of an index before or after ".safetensors".
std::string find_variant(const fs::path& folder, const std::string& stem, const std::string& variant) {
  const std::string dotted = variant.empty() ? "" : "." + variant;
  for (const std::string& name : {stem + dotted + kSuffix, stem + dotted + kIndexSuffix, stem + ".safetensors.index" + dotted + ".json"}) {
    if (fs::exists(folder / name)) {
      return (folder / name).string();
    }
  }
  return "";
}

// What stands between prefix and suffix in a name; empty if the name is not of this form.
std::string middle(const std::string& name, const std::string& prefix, const std::string& suffix) {
  const bool fits = name.size() > prefix.size() + suffix.size() && name.starts_with(prefix) && name.ends_with(suffix);
  return fits ? name.substr(prefix.size(), name.size() - prefix.size() - suffix.size()) : "";
}

// Those that find_variant() would find; shards, stem.variant-00001-of-00002.safetensors, are not variants.
std::set<std::string> list_variants(const fs::path& folder, const std::string& stem) {
  std::set<std::string> variants;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    std::string variant = middle(name, stem + ".", kIndexSuffix);
    variant = variant.empty() ? middle(name, stem + ".safetensors.index.", ".json") : variant;
    variant = variant.empty() ? middle(name, stem + ".", kSuffix) : variant;
    if (!variant.empty() && variant.find("-of-") == std::string::npos) {
      variants.insert(variant);
    }
  }
  return variants;
}

std::string find_weights(const PretrainedFolder& folder) {
  std::string found = find_variant(folder.path, folder.stem, folder.variant);
  if (!found.empty()) {
    return found;
  }
  const auto variants = list_variants(folder.path, folder.stem);
  if (folder.variant.empty() && variants.size() == 1) {
    return find_variant(folder.path, folder.stem, *variants.begin());
  }
  TORCH_CHECK(variants.empty(), "[", folder.noun, "] ", folder.path, " has no ", folder.stem, kSuffix, " of variant \"", folder.variant,
              "\"; the variants that it has: ", list_names({variants.begin(), variants.end()}));
  TORCH_CHECK(folder.variant.empty() || find_variant(folder.path, folder.stem, "").empty(), "[", folder.noun, "] ", folder.path, " has no ",
              folder.stem, kSuffix, " of variant \"", folder.variant, "\", only one without a variant");
  for (const auto& entry : fs::directory_iterator(folder.path)) {
    const std::string extension = entry.path().extension().string();
    const bool pickle = extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt";
    TORCH_CHECK(!pickle, "[", folder.noun, "] ", entry.path().string(),
                " is a pickle, which can run any code when it is read: save the model as safetensors (save_pretrained with "
                "safe_serialization) and load that");
  }
  TORCH_CHECK(false, "[", folder.noun, "] ", folder.path, " has no ", folder.stem, kSuffix, " and no ", folder.stem, kIndexSuffix);
}

// Gives the whole pages of a tensor that is not needed any more back to the system, while others of its mapping still live.
void release_pages(const at::Tensor& tensor) {
  const uintptr_t page = sysconf(_SC_PAGESIZE), begin = reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
  const uintptr_t first = (begin + page - 1) / page * page, last = (begin + tensor.nbytes()) / page * page;
  if (first < last) {
    madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
}

}  // namespace

std::string join_path(const std::string& folder, const std::string& subfolder) {
  return subfolder.empty() ? folder : (fs::path(folder) / subfolder).string();
}

std::string read_config(const PretrainedFolder& folder) {
  TORCH_CHECK(fs::is_directory(folder.path), "[", folder.noun, "] there is no folder ", folder.path);
  const fs::path path = fs::path(folder.path) / "config.json";
  std::ifstream file(path);
  TORCH_CHECK(file, "[", folder.noun, "] there is no ", path.string());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> load_weights(torch::nn::Module& module, const PretrainedFolder& folder, c10::ScalarType dtype,
                                      const std::function<std::string(const std::string&)>& rename) {
  TORCH_CHECK_VALUE(c10::isFloatingType(dtype), "[", folder.noun, "] the dtype must be a floating type: got ", dtype);
  const std::string path = find_weights(folder);
  std::map<std::string, at::Tensor> values;
  std::vector<std::string> surplus, missing, wrong;
  auto parameters = module.named_parameters();
  const bool sharded = path.ends_with(".json");
  for (auto& [name, value] : sharded ? load_safetensors_sharded(path) : map_safetensors(path)) {
    const std::string target = rename(name);
    const at::Tensor* parameter = target.empty() ? nullptr : parameters.find(target);
    if (!parameter && !target.empty()) {
      surplus.push_back(name);
    } else if (parameter && (value.sizes() != parameter->sizes() || !c10::isFloatingType(value.scalar_type()))) {
      wrong.push_back(c10::str(name, " (", value.scalar_type(), " ", value.sizes(), " instead of ", parameter->sizes(), ")"));
    } else if (parameter) {
      TORCH_CHECK(values.emplace(target, value).second, "[", folder.noun, "] ", path, " has two tensors for ", target);
    }
  }
  if (wrong.empty()) {
    for (const auto& parameter : parameters) {
      if (!values.count(parameter.key())) {
        missing.push_back(parameter.key());
      }
    }
  }
  TORCH_CHECK(wrong.empty(), "[", folder.noun, "] tensors of ", path, " do not fit the config: ", list_names(wrong));
  TORCH_CHECK(missing.empty(), "[", folder.noun, "] ", path, " lacks tensors: ", list_names(missing));
  if (!surplus.empty()) {
    TORCH_WARN("[", folder.noun, "] ", path, " has tensors that the model does not have: ", list_names(surplus));
  }
  const at::NoGradGuard no_grad;
  for (auto& parameter : parameters) {
    const auto value = values.extract(parameter.key());
    at::Tensor memory = at::empty(value.mapped().sizes(), at::TensorOptions(dtype));
    parameter.value().set_data(memory.copy_(value.mapped()));
    release_pages(value.mapped());
  }
  return surplus;
}

void save_weights(const torch::nn::Module& module, const PretrainedFolder& folder, const std::string& config,
                  const std::function<std::string(const std::string&)>& rename) {
  std::error_code error;
  fs::create_directories(folder.path, error);
  TORCH_CHECK(fs::is_directory(folder.path), "[", folder.noun, "] cannot make the folder ", folder.path, ": ", error.message());
  std::map<std::string, at::Tensor> values;
  for (const auto& parameter : module.named_parameters()) {
    values.emplace(rename(parameter.key()), parameter.value().detach());
  }
  save_safetensors((fs::path(folder.path) / (folder.stem + kSuffix)).string(), values);
  const fs::path path = fs::path(folder.path) / "config.json";
  std::ofstream file(path, std::ios::trunc);
  file << config;
  file.close();
  TORCH_CHECK(file, "[", folder.noun, "] cannot write ", path.string());
}

}  // namespace torch_hpu::diffusion
