// Grid sampling in plain ops, for two and three dims alike: every dim of the grid gives taps (a place, whether it lies inside, a weight and the weight's
// slope), and the result sums their products over the gathered pixels. Gathers and the arithmetic on coordinates fuse; the gradient of the input
// is a scatter.
#include <ATen/TensorOperators.h>
#include <ATen/ops/fmod.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <array>

#include "csrc/aten/kernels.h"

namespace torch_hpu::aten {
namespace {

enum Interpolation : int64_t { kBilinear = 0, kNearest = 1, kBicubic = 2 };
enum Padding : int64_t { kZeros = 0, kBorder = 1, kReflection = 2 };

struct Tap {
  at::Tensor place;   // [N, points], Long, always inside
  at::Tensor inside;  // Bool; undefined: all of them
  at::Tensor weight;  // undefined: 1
  at::Tensor slope;   // of the weight by the grid's coordinate; undefined: 0
};

// A coordinate in pixels, and its slope by the grid's coordinate.
struct Coordinate {
  at::Tensor x, slope;
};

Coordinate clipped(const Coordinate& c, int64_t size) {
  const auto last = static_cast<double>(size - 1);
  const at::Tensor within = (c.x > 0).logical_and(c.x < last);
  return {at::where(c.x > 0, c.x, 0.0).clamp_max(last), c.slope * within};
}

Coordinate reflected(const Coordinate& c, int64_t size, bool align_corners) {
  const double low = align_corners ? 0 : -0.5, span = align_corners ? static_cast<double>(size - 1) : static_cast<double>(size);
  if (span == 0) {
    return {at::zeros_like(c.x), at::zeros_like(c.x)};
  }
  const at::Tensor distance = (c.x - low).abs(), extra = at::fmod(distance, span);
  const at::Tensor odd = at::fmod((distance / span).floor(), 2) != 0;
  const at::Tensor sign = at::where((c.x < low).logical_xor(odd), -1.0, 1.0).to(c.x.scalar_type());
  return {at::where(odd, span - extra, extra) + low, c.slope * sign};
}

Coordinate padded(const Coordinate& c, int64_t size, int64_t padding, bool align_corners) {
  return padding == kZeros ? c : clipped(padding == kBorder ? c : reflected(c, size, align_corners), size);
}

// The tap at whole coordinate `at`.
Tap tap_at(const at::Tensor& at, const at::Tensor& weight, const at::Tensor& slope, int64_t size) {
  const at::Tensor inside = (at >= 0).logical_and(at < static_cast<double>(size));
  return {at::where(inside, at, 0.0).to(at::kLong), inside, weight, slope};
}

// Cubic convolution and its slope at distance x: for x <= 1, and beyond.
at::Tensor cubic(const at::Tensor& x, bool near) {
  constexpr double a = -0.75;
  return near ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}
at::Tensor cubic_slope(const at::Tensor& x, bool near) {
  constexpr double a = -0.75;
  return near ? (3 * (a + 2) * x - 2 * (a + 3)) * x : (3 * a * x - 10 * a) * x + 8 * a;
}

// The taps of one dim; `grid` [N, points] in [-1, 1].
std::vector<Tap> taps_of(const at::Tensor& grid, int64_t size, int64_t interpolation, int64_t padding, bool align_corners) {
  const double stretch = align_corners ? static_cast<double>(size - 1) / 2 : static_cast<double>(size) / 2;
  const Coordinate plain{align_corners ? (grid + 1) * stretch : (grid + 1) * stretch - 0.5, at::zeros_like(grid) + stretch};
  if (interpolation == kBicubic) {
    const at::Tensor left = plain.x.floor(), t = plain.x - left;
    std::vector<Tap> taps;
    for (int64_t k = -1; k <= 2; ++k) {
      const bool near = k == 0 || k == 1;
      const at::Tensor distance = k <= 0 ? t - k : k - t;
      const at::Tensor place = padded({left + k, plain.slope}, size, padding, align_corners).x;  // every tap is padded by itself
      const at::Tensor slope = cubic_slope(distance, near) * plain.slope;
      taps.push_back(tap_at(place.round(), cubic(distance, near), k <= 0 ? slope : -slope, size));
    }
    return taps;
  }
  const Coordinate c = padded(plain, size, padding, align_corners);
  if (interpolation == kNearest) {
    return {tap_at(c.x.round(), {}, {}, size)};
  }
  const at::Tensor left = c.x.floor();
  return {tap_at(left, left + 1 - c.x, -c.slope, size), tap_at(left + 1, c.x - left, c.slope, size)};
}

at::Tensor times(const at::Tensor& a, const at::Tensor& b) {
  return !a.defined() ? b : b.defined() ? a * b : a;
}

// One tap of every dim: the flat pixel, and the product of the weights; `sloped`: with this dim's slope in the place of its weight.
struct Pixel {
  at::Tensor place, inside, weight;
  std::array<at::Tensor, 3> sloped;
};

class Sampler {
 public:
  // input [N, C, spatial...], grid [N, out..., dims]: the grid's last dim counts from the innermost spatial dim.
  Sampler(const at::Tensor& input, const at::Tensor& grid, int64_t interpolation, int64_t padding, bool align_corners)
      : dims_(static_cast<size_t>(grid.size(-1))) {
    const at::Tensor flat = grid.reshape({grid.size(0), -1, grid.size(-1)});
    std::vector<std::vector<Tap>> taps;
    for (size_t d = 0; d < dims_; ++d) {  // outer spatial dims first
      const auto coordinate = static_cast<int64_t>(dims_ - 1 - d);
      taps.push_back(taps_of(flat.select(2, coordinate), input.size(static_cast<int64_t>(2 + d)), interpolation, padding, align_corners));
    }
    std::vector<size_t> at(dims_, 0);
    for (bool more = true; more;) {
      add_pixel(input, taps, at);
      more = false;
      for (size_t d = dims_; d-- > 0 && !more;) {
        at[d] = (at[d] + 1) % taps[d].size();
        more = at[d] != 0;
      }
    }
  }

  const std::vector<Pixel>& pixels() const {
    return pixels_;
  }

 private:
  void add_pixel(const at::Tensor& input, const std::vector<std::vector<Tap>>& taps, const std::vector<size_t>& at) {
    Pixel p;
    for (size_t d = 0; d < dims_; ++d) {
      const Tap& t = taps[d][at[d]];
      p.place = p.place.defined() ? p.place * input.size(static_cast<int64_t>(2 + d)) + t.place : t.place;
      p.inside = p.inside.defined() ? p.inside.logical_and(t.inside) : t.inside;
      p.weight = times(p.weight, t.weight);
      for (size_t s = 0; s < dims_; ++s) {
        const at::Tensor& factor = s == d ? t.slope : t.weight;
        p.sloped[s] = d == 0 ? factor : times(p.sloped[s], factor);
      }
    }
    pixels_.push_back(std::move(p));
  }

  size_t dims_;
  std::vector<Pixel> pixels_;
};

void check(const char* op, const at::Tensor& input, const at::Tensor& grid, int64_t dims) {
  TORCH_CHECK(input.dim() == dims + 2 && grid.dim() == dims + 2 && grid.size(-1) == dims && input.size(0) == grid.size(0), "[", op,
              "] got an input of size ", input.sizes(), " and a grid of size ", grid.sizes(), ", expected [N, C, ", dims,
              " spatial dims] and [N, ", dims, " dims, ", dims, "]");
  TORCH_CHECK(input.scalar_type() == grid.scalar_type(), "[", op, "] got an input of dtype ", input.scalar_type(), " and a grid of dtype ",
              grid.scalar_type(), ", expected one dtype");
  TORCH_CHECK(input.numel() > 0 || input.size(0) == 0 || input.size(1) == 0, "[", op, "] expected spatial dims of size 1 or more, got ",
              input.sizes());
}

// The pixels' values, [N, C, points], 0 outside.
at::Tensor values_at(const at::Tensor& input, const Pixel& p) {
  const at::Tensor flat = input.reshape({input.size(0), input.size(1), -1});
  const at::Tensor value = flat.gather(2, p.place.unsqueeze(1).expand({-1, input.size(1), -1}));
  return at::where(p.inside.unsqueeze(1), value, 0.0).to(input.scalar_type());
}

at::Tensor sample(const at::Tensor& input, const at::Tensor& grid, int64_t interpolation, int64_t padding, bool align_corners) {
  c10::DimVector sizes{input.size(0), input.size(1)};
  sizes.append(grid.sizes().begin() + 1, grid.sizes().end() - 1);
  if (c10::multiply_integers(sizes) == 0) {
    return at::zeros(sizes, input.options());
  }
  const Sampler sampler(input, grid, interpolation, padding, align_corners);
  at::Tensor sum;
  for (const Pixel& p : sampler.pixels()) {
    const at::Tensor value = values_at(input, p), part = p.weight.defined() ? value * p.weight.unsqueeze(1) : value;
    sum = sum.defined() ? sum + part : part;
  }
  return sum.view(sizes);
}

std::tuple<at::Tensor, at::Tensor> sample_backward(const at::Tensor& grad_output, const at::Tensor& input, const at::Tensor& grid,
                                                   int64_t interpolation, int64_t padding, bool align_corners, std::array<bool, 2> mask) {
  const int64_t n = input.size(0), channels = input.size(1);
  at::Tensor grad_input, grad_grid = at::zeros_like(grid, at::MemoryFormat::Contiguous);
  if (grad_output.numel() == 0) {
    return {mask[0] ? at::zeros_like(input, at::MemoryFormat::Contiguous) : grad_input, grad_grid};
  }
  const Sampler sampler(input, grid, interpolation, padding, align_corners);
  const at::Tensor grad = grad_output.reshape({n, channels, -1});
  if (mask[0]) {
    at::Tensor sum = at::zeros({n, channels, input.numel() / (n * channels)}, input.options());
    for (const Pixel& p : sampler.pixels()) {
      const at::Tensor weighted = p.weight.defined() ? grad * p.weight.unsqueeze(1) : grad;
      const at::Tensor part = at::where(p.inside.unsqueeze(1), weighted, 0.0).to(input.scalar_type());
      sum = sum.scatter_add(2, p.place.unsqueeze(1).expand({-1, channels, -1}), part);
    }
    grad_input = sum.view(input.sizes());
  }
  if (mask[1] && interpolation != kNearest) {
    const auto dims = static_cast<size_t>(grid.size(-1));
    std::array<at::Tensor, 3> sums;
    for (const Pixel& p : sampler.pixels()) {
      const at::Tensor product = (grad * values_at(input, p)).sum(1);  // [N, points]
      for (size_t d = 0; d < dims; ++d) {
        const at::Tensor part = product * p.sloped[d];
        sums[d] = sums[d].defined() ? sums[d] + part : part;
      }
    }
    const at::Tensor flat = grad_grid.view({n, -1, grid.size(-1)});
    for (size_t d = 0; d < dims; ++d) {
      flat.select(2, static_cast<int64_t>(dims - 1 - d)).copy_(sums[d]);
    }
  }
  return {grad_input, grad_grid};
}

}  // namespace

at::Tensor grid_sampler_2d(const at::Tensor& input, const at::Tensor& grid, int64_t interpolation, int64_t padding, bool align_corners) {
  check("grid_sampler_2d", input, grid, 2);
  return sample(input, grid, interpolation, padding, align_corners);
}

at::Tensor grid_sampler_3d(const at::Tensor& input, const at::Tensor& grid, int64_t interpolation, int64_t padding, bool align_corners) {
  check("grid_sampler_3d", input, grid, 3);
  return sample(input, grid, interpolation, padding, align_corners);
}

std::tuple<at::Tensor, at::Tensor> grid_sampler_backward(const at::Tensor& grad_output, const at::Tensor& input, const at::Tensor& grid,
                                                         int64_t interpolation, int64_t padding, bool align_corners,
                                                         std::array<bool, 2> output_mask) {
  return sample_backward(grad_output, input, grid, interpolation, padding, align_corners, output_mask);
}

}  // namespace torch_hpu::aten
