#include <torch_hpu/safetensors.h>

#include <ATen/ops/empty.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "csrc/io/safetensors_header.h"

namespace torch_hpu {

std::map<std::string, at::Tensor> load_safetensors(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  TORCH_CHECK(in.good(), "[safetensors] cannot open ", path, ": ", std::strerror(errno));
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  TORCH_CHECK(!error && size >= 8, "[safetensors] ", path, ": too short to be a safetensors file (", size, " bytes)");
  char bytes[8];
  in.read(bytes, 8);
  std::string header(io::safetensors_header_size(path, bytes, size), '\0');
  in.read(header.data(), static_cast<std::streamsize>(header.size()));
  TORCH_CHECK(in.good(), "[safetensors] cannot read the header of ", path);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& e : io::parse_safetensors_header(path, header, size - 8 - header.size())) {
    at::Tensor t = at::empty(e.shape, at::TensorOptions().dtype(e.dtype));
    in.read(static_cast<char*>(t.mutable_data_ptr()), static_cast<std::streamsize>(e.end - e.begin));
    TORCH_CHECK(in.good(), "[safetensors] ", path, ": cannot read tensor '", e.name, "'");
    tensors.emplace(e.name, std::move(t));
  }
  return tensors;
}

void save_safetensors(const std::string& path, const std::map<std::string, at::Tensor>& tensors) {
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};  // which transformers asks for
  std::vector<at::Tensor> data;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    TORCH_CHECK(name != "__metadata__", "[safetensors] ", path, ": a tensor cannot be called __metadata__");
    const at::Tensor t = tensor.detach().to(at::kCPU).contiguous();
    const char* dtype = io::safetensors_dtype_name(t.scalar_type());
    TORCH_CHECK(dtype != nullptr, "[safetensors] ", path, ": tensor '", name, "' has dtype ", t.scalar_type(),
                ", which the format does not know");
    header[name] = {{"dtype", dtype}, {"shape", t.sizes().vec()}, {"data_offsets", {offset, offset + t.nbytes()}}};
    offset += t.nbytes();
    data.push_back(t);
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins aligned
  const std::string partial = path + ".partial";
  {
    std::ofstream out(partial, std::ios::binary);
    uint64_t size = text.size();
    for (int i = 0; i < 8; ++i) {
      out.put(static_cast<char>(size >> (8 * i) & 0xff));
    }
    out << text;
    for (const at::Tensor& t : data) {
      out.write(static_cast<const char*>(t.const_data_ptr()), static_cast<std::streamsize>(t.nbytes()));
    }
    out.flush();
    TORCH_CHECK(out.good(), "[safetensors] cannot write ", partial, ": ", std::strerror(errno));
  }
  TORCH_CHECK(std::rename(partial.c_str(), path.c_str()) == 0, "[safetensors] cannot rename ", partial, " to ", path, ": ",
              std::strerror(errno));
}

}  // namespace torch_hpu
