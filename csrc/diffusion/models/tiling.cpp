#include "csrc/diffusion/models/tiling.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <vector>

namespace torch_hpu::diffusion {

namespace {

// The tile with its first rows (dim 2) or columns (dim 3) faded in from the last ones of the tile before it.
at::Tensor blend(const at::Tensor& before, const at::Tensor& tile, int64_t extent, int64_t dim) {
  extent = std::min({before.size(dim), tile.size(dim), extent});
  if (extent == 0) {
    return tile;
  }
  at::Tensor weight = at::arange(extent, tile.options().dtype(at::kFloat)) / extent;
  weight = (dim == 2 ? weight.unsqueeze(1) : weight).to(tile.scalar_type());
  const at::Tensor last = before.narrow(dim, before.size(dim) - extent, extent);
  const at::Tensor seam = last * (1 - weight) + tile.narrow(dim, 0, extent) * weight;
  return at::cat({seam, tile.narrow(dim, extent, tile.size(dim) - extent)}, dim);
}

}  // namespace

at::Tensor apply_tiled(const at::Tensor& x, const Tiling& tiling, const std::function<at::Tensor(const at::Tensor&)>& function) {
  std::vector<at::Tensor> above, rows;  // above: the blended tiles of the row before
  for (int64_t top = 0; top < x.size(2); top += tiling.step) {
    std::vector<at::Tensor> row, kept;
    for (int64_t left = 0; left < x.size(3); left += tiling.step) {
      at::Tensor tile = function(x.slice(2, top, top + tiling.tile).slice(3, left, left + tiling.tile));
      if (top > 0) {
        tile = blend(above[row.size()], tile, tiling.blend, 2);
      }
      if (left > 0) {
        tile = blend(row.back(), tile, tiling.blend, 3);
      }
      row.push_back(tile);
      kept.push_back(tile.slice(2, 0, tiling.keep).slice(3, 0, tiling.keep));
    }
    rows.push_back(at::cat(kept, 3));
    above = std::move(row);
  }
  return at::cat(rows, 2);
}

}  // namespace torch_hpu::diffusion
