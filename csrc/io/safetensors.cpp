#include <torch_hpu/safetensors.h>

#include <ATen/ops/empty.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace torch_hpu {
namespace {

using c10::ScalarType;

constexpr uint64_t kMaxHeader = 100'000'000;  // the format's own limit

struct Dtype {
  const char* name;
  ScalarType type;
};
constexpr Dtype kDtypes[] = {{"F64", ScalarType::Double},    {"F32", ScalarType::Float}, {"F16", ScalarType::Half},
                             {"BF16", ScalarType::BFloat16}, {"I64", ScalarType::Long},  {"I32", ScalarType::Int},
                             {"I16", ScalarType::Short},     {"I8", ScalarType::Char},   {"U8", ScalarType::Byte},
                             {"BOOL", ScalarType::Bool}};

struct Entry {
  std::string name;
  ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

Entry parse_entry(const std::string& path, const std::string& name, const nlohmann::json& j, uint64_t data_size) {
  auto require = [&](bool ok, const char* what) { TORCH_CHECK(ok, "[safetensors] ", path, ": tensor '", name, "': ", what); };
  require(j.is_object() && j.contains("dtype") && j.contains("shape") && j.contains("data_offsets"),
          "dtype, shape or data_offsets is missing");
  require(j["dtype"].is_string() && j["shape"].is_array() && j["data_offsets"].is_array() && j["data_offsets"].size() == 2,
          "dtype, shape or data_offsets is malformed");
  Entry e;
  e.name = name;
  const auto dtype = j["dtype"].get<std::string>();
  const auto* known = std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const Dtype& d) { return dtype == d.name; });
  TORCH_CHECK(known != std::end(kDtypes), "[safetensors] ", path, ": tensor '", name, "' has the unknown dtype '", dtype, "'");
  e.dtype = known->type;
  uint64_t nbytes = c10::elementSize(e.dtype);
  for (const auto& size : j["shape"]) {
    require(size.is_number_unsigned(), "a size is not a number of 0 or more");
    const auto n = size.get<uint64_t>();
    require(n <= static_cast<uint64_t>(INT64_MAX), "a size is too large");
    require(!__builtin_mul_overflow(nbytes, n, &nbytes), "its number of bytes overflows");
    e.shape.push_back(static_cast<int64_t>(n));
  }
  require(j["data_offsets"][0].is_number_unsigned() && j["data_offsets"][1].is_number_unsigned(),
          "data_offsets are not numbers of 0 or more");
  e.begin = j["data_offsets"][0].get<uint64_t>();
  e.end = j["data_offsets"][1].get<uint64_t>();
  require(e.begin <= e.end && e.end <= data_size, "data_offsets lie outside the file");
  TORCH_CHECK(e.end - e.begin == nbytes, "[safetensors] ", path, ": tensor '", name, "' has ", e.end - e.begin, " bytes, expected ", nbytes,
              " for dtype ", dtype, " and shape ", e.shape);
  return e;
}

}  // namespace

std::map<std::string, at::Tensor> load_safetensors(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  TORCH_CHECK(in.good(), "[safetensors] cannot open ", path);
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  TORCH_CHECK(!error && size >= 8, "[safetensors] ", path, ": too short to be a safetensors file (", size, " bytes)");
  unsigned char bytes[8];
  in.read(reinterpret_cast<char*>(bytes), 8);
  uint64_t header_size = 0;
  for (int i = 7; i >= 0; --i) {
    header_size = header_size << 8 | bytes[i];
  }
  TORCH_CHECK(header_size <= kMaxHeader && header_size <= size - 8, "[safetensors] ", path, ": the header claims ", header_size,
              " bytes, the file has ", size, ". Is it a safetensors file?");
  std::string header(header_size, '\0');
  in.read(header.data(), static_cast<std::streamsize>(header_size));
  const nlohmann::json json = nlohmann::json::parse(header, nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK(in.good() && json.is_object(), "[safetensors] ", path, ": the header is not a JSON object");
  const uint64_t data_size = size - 8 - header_size;
  std::vector<Entry> entries;
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(path, name, value, data_size));
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  uint64_t expected = 0;
  for (const Entry& e : entries) {
    TORCH_CHECK(e.begin == expected, "[safetensors] ", path, ": tensor '", e.name, "' begins at byte ", e.begin, ", expected ", expected,
                ": the data has ", e.begin < expected ? "overlaps" : "holes");
    expected = e.end;
  }
  TORCH_CHECK(expected == data_size, "[safetensors] ", path, ": ", data_size - expected, " bytes behind the last tensor");
  std::map<std::string, at::Tensor> tensors;
  for (const Entry& e : entries) {
    at::Tensor t = at::empty(e.shape, at::TensorOptions().dtype(e.dtype));
    in.read(static_cast<char*>(t.mutable_data_ptr()), static_cast<std::streamsize>(e.end - e.begin));
    TORCH_CHECK(in.good(), "[safetensors] ", path, ": cannot read tensor '", e.name, "'");
    tensors.emplace(e.name, std::move(t));
  }
  return tensors;
}

void save_safetensors(const std::string& path, const std::map<std::string, at::Tensor>& tensors) {
  nlohmann::json header = nlohmann::json::object();
  std::vector<at::Tensor> data;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor t = tensor.detach().to(at::kCPU).contiguous();
    const auto* known = std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const Dtype& d) { return d.type == t.scalar_type(); });
    TORCH_CHECK(known != std::end(kDtypes), "[safetensors] ", path, ": tensor '", name, "' has dtype ", t.scalar_type(),
                ", which the format does not know");
    header[name] = {{"dtype", known->name}, {"shape", t.sizes().vec()}, {"data_offsets", {offset, offset + t.nbytes()}}};
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
    TORCH_CHECK(out.good(), "[safetensors] cannot write ", partial);
  }
  TORCH_CHECK(std::rename(partial.c_str(), path.c_str()) == 0, "[safetensors] cannot rename ", partial, " to ", path);
}

}  // namespace torch_hpu
