// Max pooling, with the places of the maxima, and its gradient.
#include <limits>

#include "csrc/kernels/pool.h"
#include "csrc/kernels/simd.h"

namespace torch_hpu::kernels {
namespace {

// A row of inputs, `step` apart, against the maxima so far; the last NaN wins, as in ATen. where: the places of the maxima, or null; the inputs' own
// are index, index + index_step ...
template <typename T>
HPU_INLINE void take_max(const T* row, int64_t step, int64_t n, int32_t index, int32_t index_step, T* best, int32_t* where) {
  if (where == nullptr) {
    for (int64_t j = 0; j < n; ++j) {
      const T v = row[j * step], old = best[j];
      best[j] = v > old || v != v ? v : old;
    }
    return;
  }
  for (int64_t j = 0; j < n; ++j) {
    const T v = row[j * step], old = best[j];
    const bool better = v > old || v != v;
    best[j] = better ? v : old;
    where[j] = better ? index + static_cast<int32_t>(j) * index_step : where[j];
  }
}
template <typename T>
__attribute__((optimize("O3"))) void take_max_base(const T* row, int64_t step, int64_t n, int32_t index, int32_t index_step, T* best,
                                                   int32_t* where) {
  take_max(row, step, n, index, index_step, best, where);
}
template <typename T>
HPU_AVX2 __attribute__((optimize("O3"))) void take_max_avx2(const T* row, int64_t step, int64_t n, int32_t index, int32_t index_step,
                                                            T* best, int32_t* where) {
  step == 1   ? take_max(row, 1, n, index, index_step, best, where)
  : step == 2 ? take_max(row, 2, n, index, index_step, best, where)
              : take_max(row, step, n, index, index_step, best, where);
}
template <typename T>
HPU_AVX512 __attribute__((optimize("O3"))) void take_max_avx512(const T* row, int64_t step, int64_t n, int32_t index, int32_t index_step,
                                                                T* best, int32_t* where) {
  step == 1   ? take_max(row, 1, n, index, index_step, best, where)
  : step == 2 ? take_max(row, 2, n, index, index_step, best, where)
              : take_max(row, step, n, index, index_step, best, where);
}

template <typename T>
using TakeMax = void (*)(const T*, int64_t, int64_t, int32_t, int32_t, T*, int32_t*);

// Rows are channels of a point.
template <typename T>
void max_pool_channels(const Pool& p, const Planes& where, TakeMax<T> take, const T* in, T* out, int64_t* indices) {
  const Planes& x = p.large;
  each_task(x, [&](int64_t b, int64_t c0, int64_t c1) {
    std::array<T, kChannels> best;
    std::array<int32_t, kChannels> index;
    const int64_t n = c1 - c0;
    each_output(p, [&](const Range& rd, const Range& rh, const Range& rw, const std::array<int64_t, 3>& at) {
      const auto name = [&](int64_t d, int64_t h, int64_t w) { return static_cast<int32_t>((d * x.sizes[3] + h) * x.sizes[4] + w); };
      best.fill(-std::numeric_limits<T>::infinity());
      index.fill(name(rd.begin, rh.begin, rw.begin));
      for (int64_t d = rd.begin; d < rd.end; d += p.dilation[0]) {
        for (int64_t h = rh.begin; h < rh.end; h += p.dilation[1]) {
          for (int64_t w = rw.begin; w < rw.end; w += p.dilation[2]) {
            take(in + b * x.strides[0] + c0 + offset(x, {d, h, w}), 1, n, name(d, h, w), 0, best.data(),
                 indices != nullptr ? index.data() : nullptr);
          }
        }
      }
      for (int64_t c = 0; c < n; ++c) {
        out[b * p.small.strides[0] + (c0 + c) * p.small.strides[1] + offset(p.small, at)] = best[static_cast<size_t>(c)];
      }
      for (int64_t c = 0; c < n && indices != nullptr; ++c) {
        indices[b * where.strides[0] + (c0 + c) * where.strides[1] + offset(where, at)] = index[static_cast<size_t>(c)];
      }
    });
  });
}

template <typename T>
void max_pool(const Pool& p, const Planes& where, const T* in, T* out, int64_t* indices) {
  static const TakeMax<T> take = simd::select<TakeMax<T>>(take_max_base<T>, take_max_avx2<T>, take_max_avx512<T>);
  const Planes& x = p.large;
  if (channels_inner(x)) {
    return max_pool_channels(p, where, take, in, out, indices);
  }
  const int64_t width = p.small.sizes[4], rows = p.small.sizes[2] * p.small.sizes[3];
  each_task(x, [&](int64_t b, int64_t c0, int64_t c1) {
    std::vector<T> best(static_cast<size_t>(width));
    std::vector<int32_t> index(static_cast<size_t>(width));
    for (int64_t c = c0; c < c1; ++c) {
      const T* plane = in + b * x.strides[0] + c * x.strides[1];
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t od = r / p.small.sizes[3], oh = r % p.small.sizes[3];
        const Range &rd = p.ranges[0][static_cast<size_t>(od)], &rh = p.ranges[1][static_cast<size_t>(oh)];
        std::fill(best.begin(), best.end(), -std::numeric_limits<T>::infinity());
        for (int64_t w = 0; w < width; ++w) {  // a window of -inf names its first element
          index[static_cast<size_t>(w)] =
              static_cast<int32_t>((rd.begin * x.sizes[3] + rh.begin) * x.sizes[4] + p.ranges[2][static_cast<size_t>(w)].begin);
        }
        for (int64_t d = rd.begin; d < rd.end; d += p.dilation[0]) {
          for (int64_t h = rh.begin; h < rh.end; h += p.dilation[1]) {
            for (int64_t k = 0; k < p.kernel[2]; ++k) {
              // The outputs whose k-th tap lies inside the row.
              const int64_t shift = k * p.dilation[2] - p.padding[2], stride = p.stride[2];
              const int64_t first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
              const int64_t end = std::min(width, x.sizes[4] - 1 - shift < 0 ? 0 : (x.sizes[4] - 1 - shift) / stride + 1);
              if (first >= end) {
                continue;
              }
              const int64_t w = first * stride + shift;
              take(plane + d * x.strides[2] + h * x.strides[3] + w * x.strides[4], stride * x.strides[4], end - first,
                   static_cast<int32_t>((d * x.sizes[3] + h) * x.sizes[4] + w), static_cast<int32_t>(stride), best.data() + first,
                   indices != nullptr ? index.data() + first : nullptr);
            }
          }
        }
        T* to = out + b * p.small.strides[0] + c * p.small.strides[1] + offset(p.small, {od, oh, 0});
        for (int64_t w = 0; w < width; ++w) {
          to[w * p.small.strides[4]] = best[static_cast<size_t>(w)];
        }
        if (indices != nullptr) {
          int64_t* names = indices + b * where.strides[0] + c * where.strides[1] + offset(where, {od, oh, 0});
          for (int64_t w = 0; w < width; ++w) {
            names[w * where.strides[4]] = index[static_cast<size_t>(w)];
          }
        }
      }
    }
  });
}

// By ranges that differ from place to place.
template <typename T>
void adaptive_max_pool(const Pool& p, const Planes& where, const T* in, T* out, int64_t* indices) {
  const Planes& x = p.large;
  each_task(x, [&](int64_t b, int64_t c0, int64_t c1) {
    for (int64_t c = c0; c < c1; ++c) {
      const T* plane = in + b * x.strides[0] + c * x.strides[1];
      each_output(p, [&](const Range& rd, const Range& rh, const Range& rw, const std::array<int64_t, 3>& at) {
        T best = -std::numeric_limits<T>::infinity();
        int64_t index = (rd.begin * x.sizes[3] + rh.begin) * x.sizes[4] + rw.begin;
        for (int64_t d = rd.begin; d < rd.end; ++d) {
          for (int64_t h = rh.begin; h < rh.end; ++h) {
            for (int64_t w = rw.begin; w < rw.end; ++w) {
              const T v = plane[offset(x, {d, h, w})];
              if (v > best || v != v) {
                best = v;
                index = (d * x.sizes[3] + h) * x.sizes[4] + w;
              }
            }
          }
        }
        out[b * p.small.strides[0] + c * p.small.strides[1] + offset(p.small, at)] = best;
        if (indices != nullptr) {
          indices[b * where.strides[0] + c * where.strides[1] + offset(where, at)] = index;
        }
      });
    }
  });
}

template <typename T>
void max_pool_backward(const Pool& p, const std::string& op, const Planes& where, const T* grad, const int64_t* indices, T* grad_in) {
  each_zeroed_task(p.large, grad_in, [&](int64_t b, int64_t c0, int64_t c1, Accumulator<T>* sums) {
    const int64_t n = c1 - c0, points = p.large.sizes[2] * p.large.sizes[3] * p.large.sizes[4];
    each_output(p, [&](const Range&, const Range&, const Range&, const std::array<int64_t, 3>& at) {
      for (int64_t c = c0; c < c1; ++c) {
        const int64_t index = indices[b * where.strides[0] + c * where.strides[1] + offset(where, at)];
        TORCH_CHECK_INDEX(index >= 0 && index < points, "[", op, "] index ", index, " is out of range for ", points, " points");
        sums[index * n + c - c0] +=
            static_cast<Accumulator<T>>(grad[b * p.small.strides[0] + c * p.small.strides[1] + offset(p.small, at)]);
      }
    });
  });
}

class MaxPoolStep final : public LibraryStep {
 public:
  explicit MaxPoolStep(const LibraryCall& call) : LibraryStep(call), call_(call), pool_(call) {}

 protected:
  void execute(const Invocation& invocation) const override {
    if (numel(call_.writes[0]) == 0) {
      return;
    }
    with_type(call_.writes[0].dtype, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (!std::is_integral_v<T>) {
        execute_as(reinterpret_cast<const T*>(address(call_.reads[0], invocation)),
                   reinterpret_cast<T*>(address(call_.writes[0], invocation)), invocation);
      }
    });
  }

 private:
  template <typename T>
  void execute_as(const T* in, T* out, const Invocation& invocation) const {
    const auto n = static_cast<size_t>(call_.ints[0]);
    if (call_.primitive == Primitive::kMaxPoolBackward) {
      return max_pool_backward(pool_, call_.op, planes_of(call_.reads[1], n), in,
                               reinterpret_cast<const int64_t*>(address(call_.reads[1], invocation)), out);
    }
    const bool wanted = call_.writes.size() > 1 && present(call_.writes[1]);
    const Planes where = wanted ? planes_of(call_.writes[1], n) : Planes{};
    auto* indices = wanted ? reinterpret_cast<int64_t*>(address(call_.writes[1], invocation)) : nullptr;
    pool_.adaptive ? adaptive_max_pool(pool_, where, in, out, indices) : max_pool(pool_, where, in, out, indices);
  }

  LibraryCall call_;
  Pool pool_;
};

}  // namespace

std::unique_ptr<Step> make_max_pool(const LibraryCall& call, const Constants&) {
  return std::make_unique<MaxPoolStep>(call);
}

}  // namespace torch_hpu::kernels
