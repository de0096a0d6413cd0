// Upsampling and its gradient, 1 to 3 spatial dims, any strides: one sparse matrix per dim. A task is one row of the result: first the rows of the
// source that it depends on are added up, then the sum is resampled along the row. Channels-last memory is resampled for all channels at once.
#include "csrc/kernels/resample.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>

#include "csrc/kernels/elements.h"
#include "csrc/kernels/planes.h"

namespace torch_hpu::kernels {
namespace {

template <typename A>
std::array<Taps<A>, 3> describe(const LibraryCall& call, const Planes& in, const Planes& out) {
  const auto n = static_cast<size_t>(call.ints[0]);
  const auto mode = static_cast<ResampleMode>(call.ints[1]);
  const bool backward = call.ints[2] != 0, align_corners = call.ints[3] != 0;
  std::array<Taps<A>, 3> taps;
  for (size_t d = 0; d < 3; ++d) {
    const int64_t from = in.sizes[2 + d], to = out.sizes[2 + d];
    if (d < 3 - n) {
      taps[d] = resampling_taps<A>(ResampleMode::kNearest, 1, 1, false, 0);
      continue;
    }
    const double scale = call.floats[d - (3 - n)];
    taps[d] = backward ? transposed(resampling_taps<A>(mode, to, from, align_corners, scale), to)
                       : resampling_taps<A>(mode, from, to, align_corners, scale);
  }
  return taps;
}

template <typename A>
class ResampleStep final : public LibraryStep {
 public:
  explicit ResampleStep(const LibraryCall& call)
      : LibraryStep(call),
        call_(call),
        in_(planes_of(call.reads[0], static_cast<size_t>(call.ints[0]))),
        out_(planes_of(call.writes[0], static_cast<size_t>(call.ints[0]))),
        taps_(describe<A>(call, in_, out_)) {}

 protected:
  void execute(const Invocation& invocation) const override {
    if (numel(call_.writes[0]) == 0) {
      return;
    }
    with_type(call_.writes[0].dtype, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_same_v<Accumulator<T>, A>) {
        resample(reinterpret_cast<const T*>(address(call_.reads[0], invocation)),
                 reinterpret_cast<T*>(address(call_.writes[0], invocation)));
      }
    });
  }

 private:
  template <typename T>
  void resample(const T* in, T* out) const {
    const int64_t channels = in_.strides[1] == 1 && out_.strides[1] == 1 ? in_.sizes[1] : 1, groups = in_.sizes[1] / channels;
    const int64_t depth = out_.sizes[2], height = out_.sizes[3], rows = out_.sizes[0] * groups * depth * height;
    const int64_t row_work = channels * (in_.sizes[4] * 4 + out_.sizes[4] * 4);
    at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / row_work), [&](int64_t begin, int64_t end) {
      std::vector<A> sum(static_cast<size_t>(in_.sizes[4] * channels));
      for (int64_t r = begin; r < end; ++r) {
        const int64_t h = r % height, d = r / height % depth, c = r / height / depth % groups, b = r / height / depth / groups;
        add_rows(in + b * in_.strides[0] + c * in_.strides[1], d, h, channels, sum);
        T* to = out + b * out_.strides[0] + c * out_.strides[1] + d * out_.strides[2] + h * out_.strides[3];
        resample_row(sum, channels, to);
      }
    });
  }

  // sum[w, c] = the rows of the source that row (d, h) of the result depends on, weighted.
  template <typename T>
  void add_rows(const T* in, int64_t d, int64_t h, int64_t channels, std::vector<A>& sum) const {
    const int64_t width = in_.sizes[4], step = in_.strides[4];
    bool first = true;
    for (int64_t i = taps_[0].first[d]; i < taps_[0].first[d + 1]; ++i) {
      for (int64_t j = taps_[1].first[h]; j < taps_[1].first[h + 1]; ++j) {
        const T* row = in + taps_[0].index[i] * in_.strides[2] + taps_[1].index[j] * in_.strides[3];
        const A weight = taps_[0].weight[i] * taps_[1].weight[j];
        for (int64_t w = 0; w < width; ++w) {
          for (int64_t c = 0; c < channels; ++c) {
            A& s = sum[w * channels + c];
            const A x = weight * static_cast<A>(row[w * step + c]);
            s = first ? x : s + x;
          }
        }
        first = false;
      }
    }
    if (first) {
      std::fill(sum.begin(), sum.end(), A(0));  // nothing depends on this row
    }
  }

  template <typename T>
  void resample_row(const std::vector<A>& sum, int64_t channels, T* to) const {
    const Taps<A>& taps = taps_[2];
    for (int64_t w = 0; w < out_.sizes[4]; ++w, to += out_.strides[4]) {
      const int64_t begin = taps.first[w], end = taps.first[w + 1];
      for (int64_t c = 0; c < channels; ++c) {
        A x = begin < end ? taps.weight[begin] * sum[taps.index[begin] * channels + c] : A(0);
        for (int64_t k = begin + 1; k < end; ++k) {
          x += taps.weight[k] * sum[taps.index[k] * channels + c];
        }
        to[c] = static_cast<T>(x);
      }
    }
  }

  LibraryCall call_;
  Planes in_, out_;
  std::array<Taps<A>, 3> taps_;
};

}  // namespace

bool resample_supported(const LibraryCall& call) {
  const c10::ScalarType t = call.writes[0].dtype;
  return c10::isFloatingType(t) && has_type(t) && call.reads[0].dtype == t;
}

std::unique_ptr<Step> make_resample(const LibraryCall& call, const Constants&) {
  if (call.writes[0].dtype == c10::ScalarType::Double) {
    return std::make_unique<ResampleStep<double>>(call);
  }
  return std::make_unique<ResampleStep<float>>(call);
}

}  // namespace torch_hpu::kernels
