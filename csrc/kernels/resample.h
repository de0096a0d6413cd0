// Resampling along one dim as a sparse matrix: what every element of the result takes from the source.
#pragma once

#include <cstdint>
#include <vector>

#include "csrc/kernels/library.h"

namespace torch_hpu::kernels {

// Taps of output o: [first[o], first[o + 1]) of index and weight. A: the type that weights are computed and kept in.
template <typename A>
struct Taps {
  std::vector<int64_t> first, index;
  std::vector<A> weight;
};

// `scale`: the factor that the user gave (output / input), 0 for none. Positions and weights as ATen computes them.
template <typename A>
Taps<A> resampling_taps(ResampleMode mode, int64_t in, int64_t out, bool align_corners, double scale);

// The same matrix seen from the source: the gradient's taps.
template <typename A>
Taps<A> transposed(const Taps<A>& taps, int64_t in);

extern template Taps<float> resampling_taps(ResampleMode, int64_t, int64_t, bool, double);
extern template Taps<double> resampling_taps(ResampleMode, int64_t, int64_t, bool, double);
extern template Taps<float> transposed(const Taps<float>&, int64_t);
extern template Taps<double> transposed(const Taps<double>&, int64_t);

}  // namespace torch_hpu::kernels
