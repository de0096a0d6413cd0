#include "csrc/kernels/resample.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace torch_hpu::kernels {
namespace {

// How far the source moves per step of the result.
template <typename A>
A step_of(int64_t in, int64_t out, bool align_corners, double scale) {
  if (align_corners) {
    return out > 1 ? static_cast<A>(in - 1) / static_cast<A>(out - 1) : A(0);
  }
  return scale > 0 ? static_cast<A>(1 / scale) : static_cast<A>(in) / static_cast<A>(out);
}

// Cubic convolution with parameter a, for |x| <= 1 and for 1 < |x| < 2.
template <typename A>
A cubic_near(A x, A a) {
  return ((a + 2) * x - (a + 3)) * x * x + 1;
}
template <typename A>
A cubic_far(A x, A a) {
  return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

template <typename A>
void push(Taps<A>& taps, int64_t index, A weight) {
  taps.index.push_back(index);
  taps.weight.push_back(weight);
}

int64_t nearest_index(ResampleMode mode, int64_t o, int64_t in, int64_t out, double scale) {  // in float for all dtypes
  const float step = step_of<float>(in, out, false, scale);
  const float at = mode == ResampleMode::kNearestExact ? (static_cast<float>(o) + 0.5f) * step : static_cast<float>(o) * step;
  return std::min(static_cast<int64_t>(std::floor(at)), in - 1);
}

template <typename A>
void push_linear(Taps<A>& taps, int64_t o, int64_t in, int64_t out, A step, bool align_corners) {
  if (in == out) {
    push(taps, o, A(1));
    return;
  }
  const A at = align_corners ? step * static_cast<A>(o) : std::max(A(0), step * (static_cast<A>(o) + A(0.5)) - A(0.5));
  const int64_t left = std::min(static_cast<int64_t>(at), in - 1);
  const A right = std::clamp(at - static_cast<A>(left), A(0), A(1));
  push(taps, left, 1 - right);
  push(taps, std::min(left + 1, in - 1), right);
}

template <typename A>
void push_cubic(Taps<A>& taps, int64_t o, int64_t in, A step, bool align_corners) {
  constexpr A a = A(-0.75);
  const A at = align_corners ? step * static_cast<A>(o) : step * (static_cast<A>(o) + A(0.5)) - A(0.5);
  const int64_t left = std::min(static_cast<int64_t>(std::floor(at)), in - 1);
  const A t = std::clamp(at - static_cast<A>(left), A(0), A(1));
  const std::array<A, 4> weights{cubic_far(t + 1, a), cubic_near(t, a), cubic_near(1 - t, a), cubic_far(2 - t, a)};
  for (int64_t k = 0; k < 4; ++k) {
    push(taps, std::clamp<int64_t>(left - 1 + k, 0, in - 1), weights[static_cast<size_t>(k)]);
  }
}

// The filter is widened where the result is smaller, and its weights sum to one.
template <typename A>
void push_antialiased(Taps<A>& taps, int64_t o, int64_t in, A step, bool cubic) {
  constexpr A a = A(-0.5);
  const A radius = (cubic ? A(2) : A(1)) * std::max(step, A(1)), shrink = step >= 1 ? 1 / step : A(1);
  const A center = step * (static_cast<A>(o) + A(0.5));
  const int64_t begin = std::max<int64_t>(static_cast<int64_t>(center - radius + A(0.5)), 0);
  const int64_t end = std::min(static_cast<int64_t>(center + radius + A(0.5)), in);
  const size_t first = taps.weight.size();
  A total = 0;
  for (int64_t i = begin; i < end; ++i) {
    const A x = std::abs((static_cast<A>(i) - center + A(0.5)) * shrink);
    const A weight = !cubic ? std::max(A(0), 1 - x) : x < 1 ? cubic_near(x, a) : x < 2 ? cubic_far(x, a) : A(0);
    push(taps, i, weight);
    total += weight;
  }
  for (size_t k = first; k < taps.weight.size() && total != 0; ++k) {
    taps.weight[k] /= total;
  }
}

}  // namespace

template <typename A>
Taps<A> resampling_taps(ResampleMode mode, int64_t in, int64_t out, bool align_corners, double scale) {
  Taps<A> taps;
  const A step = step_of<A>(in, out, align_corners, scale);
  for (int64_t o = 0; o < out; ++o) {
    taps.first.push_back(static_cast<int64_t>(taps.index.size()));
    switch (mode) {
      case ResampleMode::kNearest:
      case ResampleMode::kNearestExact:
        push(taps, nearest_index(mode, o, in, out, scale), A(1));
        break;
      case ResampleMode::kLinear:
        push_linear(taps, o, in, out, step, align_corners);
        break;
      case ResampleMode::kCubic:
        push_cubic(taps, o, in, step, align_corners);
        break;
      case ResampleMode::kLinearAntialias:
      case ResampleMode::kCubicAntialias:
        push_antialiased(taps, o, in, step, mode == ResampleMode::kCubicAntialias);
        break;
    }
  }
  taps.first.push_back(static_cast<int64_t>(taps.index.size()));
  return taps;
}

template <typename A>
Taps<A> transposed(const Taps<A>& taps, int64_t in) {
  Taps<A> result;
  result.first.assign(static_cast<size_t>(in) + 1, 0);
  for (int64_t i : taps.index) {
    ++result.first[static_cast<size_t>(i) + 1];
  }
  for (size_t i = 0; i < static_cast<size_t>(in); ++i) {
    result.first[i + 1] += result.first[i];
  }
  std::vector<int64_t> place(result.first.begin(), result.first.end() - 1);
  result.index.resize(taps.index.size());
  result.weight.resize(taps.index.size());
  for (size_t o = 0; o + 1 < taps.first.size(); ++o) {
    for (int64_t k = taps.first[o]; k < taps.first[o + 1]; ++k) {
      const auto to = static_cast<size_t>(place[static_cast<size_t>(taps.index[static_cast<size_t>(k)])]++);
      result.index[to] = static_cast<int64_t>(o);
      result.weight[to] = taps.weight[static_cast<size_t>(k)];
    }
  }
  return result;
}

template Taps<float> resampling_taps(ResampleMode, int64_t, int64_t, bool, double);
template Taps<double> resampling_taps(ResampleMode, int64_t, int64_t, bool, double);
template Taps<float> transposed(const Taps<float>&, int64_t);
template Taps<double> transposed(const Taps<double>&, int64_t);

}  // namespace torch_hpu::kernels
