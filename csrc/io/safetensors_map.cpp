// Safetensors files as memory: tensors over a private mapping of the file, and folders whose tensors are spread over several files.
#include <torch_hpu/safetensors.h>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/from_file.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "csrc/io/safetensors_header.h"

namespace torch_hpu {
namespace {

namespace fs = std::filesystem;

// The one index of a folder, or the path as it is.
fs::path find_index(const std::string& path) {
  if (!fs::is_directory(path)) {
    return path;
  }
  constexpr std::string_view kSuffix = ".safetensors.index.json";
  std::set<fs::path> found;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().filename().string().ends_with(kSuffix)) {
      found.insert(entry.path());
    }
  }
  TORCH_CHECK(found.size() == 1, "[safetensors] ", path, " holds ", found.size(), " files named *", kSuffix, ", expected 1");
  return *found.begin();
}

// Tensor names by file.
std::map<std::string, std::set<std::string>> read_index(const fs::path& index) {
  std::ifstream in(index, std::ios::binary);
  TORCH_CHECK(in.good(), "[safetensors] cannot open ", index.string());
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), "[safetensors] ", index.string(),
              ": expected a JSON object with an object 'weight_map' of tensor names and files");
  std::map<std::string, std::set<std::string>> files;
  for (const auto& [name, file] : json["weight_map"].items()) {
    const std::string file_name = file.is_string() ? file.get<std::string>() : "";
    // Names, not paths: an index must not lead out of its folder.
    TORCH_CHECK(!file_name.empty() && file_name != "." && file_name != ".." && file_name.find_first_of("/\\") == std::string::npos,
                "[safetensors] ", index.string(), ": tensor '", name, "': expected the name of a file in the same folder, got ",
                file.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    files[file_name].insert(name);
  }
  return files;
}

}  // namespace

std::map<std::string, at::Tensor> map_safetensors(const std::string& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  TORCH_CHECK(!error, "[safetensors] cannot open ", path, ": ", error.message());
  TORCH_CHECK(size >= 8, "[safetensors] ", path, ": too short to be a safetensors file (", size, " bytes)");
  const at::Tensor file = at::from_file(path, /*shared=*/false, static_cast<int64_t>(size), at::TensorOptions().dtype(at::kByte));
  char* bytes = static_cast<char*>(file.mutable_data_ptr());
  const uint64_t header_size = io::safetensors_header_size(path, bytes, size);
  char* data = bytes + 8 + header_size;
  std::map<std::string, at::Tensor> tensors;
  for (const auto& e : io::parse_safetensors_header(path, {bytes + 8, header_size}, size - 8 - header_size)) {
    const auto options = at::TensorOptions().dtype(e.dtype);
    at::Tensor tensor = at::from_blob(data + e.begin, e.shape, [file](void*) {}, options);
    if (reinterpret_cast<uintptr_t>(data + e.begin) % c10::elementSize(e.dtype) != 0) {
      tensor = at::from_blob(data + e.begin, {static_cast<int64_t>(e.end - e.begin)}, options.dtype(at::kByte))
                   .clone()
                   .view(e.dtype)
                   .view(e.shape);
    }
    tensors.emplace(e.name, std::move(tensor));
  }
  return tensors;
}

std::map<std::string, at::Tensor> load_safetensors_sharded(const std::string& index_path) {
  const fs::path index = find_index(index_path);
  std::map<std::string, at::Tensor> tensors;
  std::map<std::string, std::string> origin;
  for (const auto& [file, names] : read_index(index)) {
    const std::string path = (index.parent_path() / file).string();
    auto shard = map_safetensors(path);
    for (const std::string& name : names) {
      TORCH_CHECK(shard.count(name) > 0, "[safetensors] ", path, ": tensor '", name, "' is missing, which ", index.filename().string(),
                  " says is there");
    }
    for (auto& [name, tensor] : shard) {
      const auto [known, added] = origin.emplace(name, file);
      TORCH_CHECK(added, "[safetensors] tensor '", name, "' is in ", known->second, " and in ", file, " of ", index.string());
      tensors.emplace(name, std::move(tensor));
    }
  }
  return tensors;
}

}  // namespace torch_hpu
