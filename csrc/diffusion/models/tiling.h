// Work on overlapping tiles of an image, whose seams are blended.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace torch_hpu::diffusion {

struct Tiling {
  int64_t tile = 0;   // size of a tile of the input
  int64_t step = 0;   // from one tile to the next
  int64_t blend = 0;  // rows and columns of the output over which neighbours are blended
  int64_t keep = 0;   // rows and columns of a tile's output that are kept
};

// x: [N, C, H, W].
at::Tensor apply_tiled(const at::Tensor& x, const Tiling& tiling, const std::function<at::Tensor(const at::Tensor&)>& function);

}  // namespace torch_hpu::diffusion
