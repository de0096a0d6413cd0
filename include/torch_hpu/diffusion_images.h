// Pictures: from a decoder's values to PNG files, and from files to what an encoder takes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "torch_hpu/export.h"

namespace torch_hpu {

// Values in [-1, 1] as a decoder gives them, [N, 3, H, W] on any device -> float [N, H, W, 3] in [0, 1] on the CPU.
TORCH_HPU_API at::Tensor to_image_arrays(const at::Tensor& decoded);
// The same, rounded to uint8 [N, H, W, 3].
TORCH_HPU_API at::Tensor to_images(const at::Tensor& decoded);

// uint8 [N, H, W, 3] -> [rows * H, columns * W, 3], row by row; what is left of the last row is black. columns 0: as square as possible.
TORCH_HPU_API at::Tensor image_grid(const at::Tensor& images, int64_t columns = 0);

// Writes a picture, uint8 [H, W, 3] on any device. The file appears under its name only when it is complete.
TORCH_HPU_API void save_png(const std::string& path, const at::Tensor& image);
// Reads one, of any colour type: uint8 [H, W, 3]. Transparent parts are white.
TORCH_HPU_API at::Tensor load_png(const std::string& path);

}  // namespace torch_hpu
