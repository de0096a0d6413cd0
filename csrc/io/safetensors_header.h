// The header of a safetensors file: where each tensor's bytes lie. Everything is checked here, before anything is allocated or mapped.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace torch_hpu::io {

struct SafetensorsEntry {
  std::string name;
  c10::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;  // bytes, from the end of the header on
};

// The size of the header, from the first 8 bytes of a file of file_size (at least 8) bytes. Throws when the header cannot fit.
uint64_t safetensors_header_size(const std::string& path, const void* first_bytes, uint64_t file_size);

// The tensors in the order of their bytes. Checks dtypes, shapes against byte ranges, and that the ranges cover data_size bytes without
// holes or overlaps. Throws with the file's name and what is wrong.
std::vector<SafetensorsEntry> parse_safetensors_header(const std::string& path, std::string_view header, uint64_t data_size);

// The format's name of a dtype, or null.
const char* safetensors_dtype_name(c10::ScalarType dtype);

}  // namespace torch_hpu::io
