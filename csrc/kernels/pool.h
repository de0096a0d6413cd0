// The geometry of pooling over 1 to 3 spatial dims, any strides: every output index of a dim has a range of input indices, computed once. Work is shared
// by planes (or, for channels-last memory, by groups of channels of one image), each done by one thread in a fixed order: results do not depend
// on the number of threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <vector>

#include "csrc/kernels/elements.h"
#include "csrc/kernels/planes.h"

namespace torch_hpu::kernels {

struct Range {
  int64_t begin, end;  // input indices, inside the input
  int64_t count;       // for the divisor of an average: with padding where that counts
};

struct Pool {
  explicit Pool(const LibraryCall& call);

  Planes small, large;  // the pooled side and the side that is pooled (of a backward: of their gradients)
  std::array<std::vector<Range>, 3> ranges;
  std::array<int64_t, 3> stride{1, 1, 1}, padding{0, 0, 0}, dilation{1, 1, 1}, kernel{1, 1, 1};  // as called
  bool adaptive = false;  // then the ranges are all there is: no stride, padding, dilation, kernel
  int64_t divisor = 0;    // 0: the ranges' counts
};

inline constexpr int64_t kChannels = 32;  // of one task

// Whether the channels of a point lie side by side.
inline bool channels_inner(const Planes& v) {
  return v.strides[1] == 1 && v.sizes[1] > 1;
}

// Calls f(b, c0, c1) for tasks of channels [c0, c1) of image b: a plane, or kChannels at most.
template <typename F>
void each_task(const Planes& v, F f) {
  const int64_t group = channels_inner(v) ? kChannels : 1, groups = (v.sizes[1] + group - 1) / group;
  const int64_t work = group * v.sizes[2] * v.sizes[3] * v.sizes[4];
  at::parallel_for(0, v.sizes[0] * groups, std::max<int64_t>(1, 16384 / std::max<int64_t>(work, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t c0 = i % groups * group;
      f(i / groups, c0, std::min(c0 + group, v.sizes[1]));
    }
  });
}

// Calls f(range of d, range of h, range of w, offset in small) for every output point.
template <typename F>
void each_output(const Pool& p, F f) {
  const auto& s = p.small;
  for (int64_t d = 0; d < s.sizes[2]; ++d) {
    for (int64_t h = 0; h < s.sizes[3]; ++h) {
      for (int64_t w = 0; w < s.sizes[4]; ++w) {
        f(p.ranges[0][static_cast<size_t>(d)], p.ranges[1][static_cast<size_t>(h)], p.ranges[2][static_cast<size_t>(w)],
          std::array<int64_t, 3>{d, h, w});
      }
    }
  }
}

inline int64_t offset(const Planes& v, const std::array<int64_t, 3>& at) {
  return at[0] * v.strides[2] + at[1] * v.strides[3] + at[2] * v.strides[4];
}

// Zeroes channels [c0, c1) of image b, then lets f add into it.
template <typename T, typename F>
void each_zeroed_task(const Planes& v, T* data, F f) {
  each_task(v, [&](int64_t b, int64_t c0, int64_t c1) {
    const int64_t points = v.sizes[2] * v.sizes[3] * v.sizes[4], n = c1 - c0;
    thread_local std::vector<Accumulator<T>> sums;  // [points, channels]: rounded once at the end
    sums.assign(static_cast<size_t>(points * n), 0);
    f(b, c0, c1, sums.data());
    for (int64_t i = 0; i < points; ++i) {
      const int64_t w = i % v.sizes[4], h = i / v.sizes[4] % v.sizes[3], d = i / v.sizes[4] / v.sizes[3];
      T* to = data + b * v.strides[0] + d * v.strides[2] + h * v.strides[3] + w * v.strides[4];
      for (int64_t c = c0; c < c1; ++c) {
        to[c * v.strides[1]] = static_cast<T>(sums[static_cast<size_t>(i * n + c - c0)]);
      }
    }
  });
}

}  // namespace torch_hpu::kernels
