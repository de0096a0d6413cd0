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

// The same tensors, checked in the same way, over the file itself: only what is read comes into memory. All tensors of a file share one
// private mapping, which lives as long as any of them: writing to a tensor changes neither the file nor what others see of it. A tensor
// whose bytes do not lie at a multiple of its element size is a copy. The file may be replaced meanwhile (a rename, as save_safetensors()
// does), but must not be cut off or overwritten in place.
TORCH_HPU_API std::map<std::string, at::Tensor> map_safetensors(const std::string& path);

// The tensors of all files that an index names, mapped: a JSON file "*.safetensors.index.json" with "weight_map": {tensor: file}, or the
// folder of the one that it holds. Throws when a tensor is not in its file, or is in two.
TORCH_HPU_API std::map<std::string, at::Tensor> load_safetensors_sharded(const std::string& index_path);

// Writes the tensors (copied to the CPU, contiguous). The file appears under its name only when it is complete.
TORCH_HPU_API void save_safetensors(const std::string& path, const std::map<std::string, at::Tensor>& tensors);

}  // namespace torch_hpu
