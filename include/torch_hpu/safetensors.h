// Reading and writing safetensors files (https://github.com/huggingface/safetensors, format: 8 bytes header size, JSON header, data).
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "torch_hpu/export.h"

namespace torch_hpu {

// All tensors of the file, on the CPU. The header is checked before anything is allocated: its size, dtypes, shapes against byte ranges,
// and that the ranges cover the data without holes or overlaps. Throws with the file's name and what is wrong.
TORCH_HPU_API std::map<std::string, at::Tensor> load_safetensors(const std::string& path);

// Writes the tensors (copied to the CPU, contiguous). The file appears under its name only when it is complete.
TORCH_HPU_API void save_safetensors(const std::string& path, const std::map<std::string, at::Tensor>& tensors);

}  // namespace torch_hpu
