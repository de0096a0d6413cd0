#include "csrc/io/safetensors_header.h"

#include <c10/util/ArrayRef.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

namespace torch_hpu::io {
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

SafetensorsEntry parse_entry(const std::string& path, const std::string& name, const nlohmann::json& j, uint64_t data_size) {
  auto require = [&](bool ok, const char* what) { TORCH_CHECK(ok, "[safetensors] ", path, ": tensor '", name, "': ", what); };
  require(j.is_object() && j.contains("dtype") && j.contains("shape") && j.contains("data_offsets"),
          "dtype, shape or data_offsets is missing");
  require(j["dtype"].is_string() && j["shape"].is_array() && j["data_offsets"].is_array() && j["data_offsets"].size() == 2,
          "dtype, shape or data_offsets is malformed");
  SafetensorsEntry e;
  e.name = name;
  const auto dtype = j["dtype"].get<std::string>();
  const auto* known = std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const Dtype& d) { return dtype == d.name; });
  TORCH_CHECK(known != std::end(kDtypes), "[safetensors] ", path, ": tensor '", name, "' has the unknown dtype '", dtype, "'");
  e.dtype = known->type;
  uint64_t nbytes = c10::elementSize(e.dtype);
  uint64_t strides = nbytes;  // sizes of 0 do not take part: strides of an empty tensor must not overflow either
  for (const auto& size : j["shape"]) {
    require(size.is_number_unsigned(), "a size is not a number of 0 or more");
    const auto n = size.get<uint64_t>();
    require(n <= static_cast<uint64_t>(INT64_MAX), "a size is too large");
    require(!__builtin_mul_overflow(strides, std::max<uint64_t>(n, 1), &strides) && strides <= static_cast<uint64_t>(INT64_MAX),
            "its number of bytes overflows");
    nbytes *= n;
    e.shape.push_back(static_cast<int64_t>(n));
  }
  require(j["data_offsets"][0].is_number_unsigned() && j["data_offsets"][1].is_number_unsigned(),
          "data_offsets are not numbers of 0 or more");
  e.begin = j["data_offsets"][0].get<uint64_t>();
  e.end = j["data_offsets"][1].get<uint64_t>();
  require(e.begin <= e.end && e.end <= data_size, "data_offsets lie outside the file");
  TORCH_CHECK(e.end - e.begin == nbytes, "[safetensors] ", path, ": tensor '", name, "' has ", e.end - e.begin, " bytes, expected ", nbytes,
              " for dtype ", dtype, " and shape ", c10::IntArrayRef(e.shape));
  return e;
}

}  // namespace

uint64_t safetensors_header_size(const std::string& path, const void* first_bytes, uint64_t file_size) {
  const auto* bytes = static_cast<const unsigned char*>(first_bytes);
  uint64_t size = 0;
  for (int i = 7; i >= 0; --i) {
    size = size << 8 | bytes[i];
  }
  TORCH_CHECK(size <= kMaxHeader && size <= file_size - 8, "[safetensors] ", path, ": the header claims ", size, " bytes, the file has ",
              file_size, ". Is it a safetensors file?");
  return size;
}

std::vector<SafetensorsEntry> parse_safetensors_header(const std::string& path, std::string_view header, uint64_t data_size) {
  const nlohmann::json json = nlohmann::json::parse(header, nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK(json.is_object(), "[safetensors] ", path, ": the header is not a JSON object");
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(path, name, value, data_size));
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  uint64_t expected = 0;
  for (const SafetensorsEntry& e : entries) {
    TORCH_CHECK(e.begin == expected, "[safetensors] ", path, ": tensor '", e.name, "' begins at byte ", e.begin, ", expected ", expected,
                ": the data has ", e.begin < expected ? "overlaps" : "holes");
    expected = e.end;
  }
  TORCH_CHECK(expected == data_size, "[safetensors] ", path, ": ", data_size - expected, " bytes behind the last tensor");
  return entries;
}

const char* safetensors_dtype_name(ScalarType dtype) {
  const auto* known = std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const Dtype& d) { return d.type == dtype; });
  return known == std::end(kDtypes) ? nullptr : known->name;
}

}  // namespace torch_hpu::io
