// Pooling over 1 to 3 spatial dims, any strides. Every output index of a dim has a range of input indices, computed once; adaptive pooling differs in
// nothing but its ranges. Work is shared by planes (or, for channels-last memory, by groups of channels of one image), each done by one
// thread in a fixed order: results do not depend on the number of threads.
#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <limits>

#include "csrc/kernels/simd.h"
#include "csrc/kernels/step.h"

namespace torch_hpu::kernels {
namespace {

struct Range {
  int64_t begin, end;  // input indices, inside the input
  int64_t count;       // for the divisor of an average: with padding where that counts
};

// A tensor as [B, C, D, H, W].
struct View {
  std::array<int64_t, 5> sizes{1, 1, 1, 1, 1}, strides{0, 0, 0, 0, 0};
};

View view_of(const Operand& o, size_t n) {
  View v;
  const size_t lead = o.sizes.size() - n;  // [C] or [B, C]
  for (size_t d = 0; d < lead; ++d) {
    v.sizes[2 - lead + d] = o.sizes[d];
    v.strides[2 - lead + d] = o.strides[d];
  }
  for (size_t d = 0; d < n; ++d) {
    v.sizes[5 - n + d] = o.sizes[lead + d];
    v.strides[5 - n + d] = o.strides[lead + d];
  }
  return v;
}

template <typename T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

struct Pool {
  View small, large;  // the pooled side and the side that is pooled (of a backward: of their gradients)
  std::array<std::vector<Range>, 3> ranges;
  std::array<int64_t, 3> stride{1, 1, 1}, padding{0, 0, 0}, dilation{1, 1, 1}, kernel{1, 1, 1};  // as called (not of adaptive pooling)
  int64_t divisor = 0;                                                                           // 0: the ranges' counts
};

Pool describe(const LibraryCall& call) {
  const auto n = static_cast<size_t>(call.ints[0]);
  const bool backward = call.primitive == Primitive::kMaxPoolBackward || call.primitive == Primitive::kAvgPoolBackward ||
                        call.primitive == Primitive::kAdaptiveAvgPoolBackward;
  Pool p;
  p.small = view_of(backward ? call.reads[0] : call.writes[0], n);
  p.large = view_of(backward ? call.writes[0] : call.reads[0], n);
  for (size_t d = 0; d < 3; ++d) {
    const int64_t in = p.large.sizes[2 + d], out = p.small.sizes[2 + d];
    const bool adaptive = call.ints.size() == 1;
    for (int64_t o = 0; o < out; ++o) {
      if (d < 3 - n) {
        p.ranges[d].push_back({0, 1, 1});
      } else if (adaptive) {
        const int64_t begin = o * in / out, end = ((o + 1) * in + out - 1) / out;
        p.ranges[d].push_back({begin, end, end - begin});
      } else {
        const size_t i = d - (3 - n);
        const int64_t kernel = call.ints[1 + i], stride = call.ints[1 + n + i], padding = call.ints[1 + 2 * n + i];
        const bool average = call.primitive == Primitive::kAvgPool || call.primitive == Primitive::kAvgPoolBackward;
        p.dilation[d] = average ? 1 : call.ints[1 + 3 * n + i];
        p.kernel[d] = kernel;
        p.stride[d] = stride;
        p.padding[d] = padding;
        int64_t begin = o * stride - padding;
        int64_t end = std::min(begin + (kernel - 1) * p.dilation[d] + 1, in + (average ? padding : 0));
        const int64_t padded = end - begin;
        while (begin < 0) {
          begin += p.dilation[d];
        }
        end = std::min(end, in);
        const bool include_padding = average && call.ints[2 + 3 * n] != 0;
        p.ranges[d].push_back({begin, end, include_padding ? padded : end - begin});
      }
    }
  }
  if (call.primitive == Primitive::kAvgPool || call.primitive == Primitive::kAvgPoolBackward) {
    p.divisor = call.ints[3 + 3 * n];
  }
  return p;
}

// Calls f(b, c0, c1) for tasks of channels [c0, c1) of image b.
template <typename F>
void each_task(const View& v, F f) {
  const bool channels_inner = v.strides[1] == 1 && v.sizes[1] > 1;
  const int64_t group = channels_inner ? 32 : 1, groups = (v.sizes[1] + group - 1) / group;
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

int64_t offset(const View& v, const std::array<int64_t, 3>& at) {
  return at[0] * v.strides[2] + at[1] * v.strides[3] + at[2] * v.strides[4];
}

// One row of inputs against the maxima so far; the last NaN wins, as in ATen.
template <typename T>
HPU_INLINE void take_max(const T* row, int64_t step, int64_t n, int32_t index, int32_t index_step, T* best, int32_t* where) {
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
void max_pool(const Pool& p, const View& where, const T* in, T* out, int64_t* indices) {
  using Take = void (*)(const T*, int64_t, int64_t, int32_t, int32_t, T*, int32_t*);
  static const Take take = simd::select<Take>(take_max_base<T>, take_max_avx2<T>, take_max_avx512<T>);
  const View& x = p.large;
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
                   index.data() + first);
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

// Zeroes channels [c0, c1) of image b, then lets f add into it.
template <typename T, typename F>
void each_zeroed_task(const View& v, T* data, F f) {
  each_task(v, [&](int64_t b, int64_t c0, int64_t c1) {
    const int64_t points = v.sizes[2] * v.sizes[3] * v.sizes[4], n = c1 - c0;
    thread_local std::vector<Wide<T>> sums;  // [points, channels]: rounded once at the end
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

template <typename T>
void max_pool_backward(const Pool& p, const View& where, const T* grad, const int64_t* indices, T* grad_in) {
  each_zeroed_task(p.large, grad_in, [&](int64_t b, int64_t c0, int64_t c1, Wide<T>* sums) {
    const int64_t n = c1 - c0, points = p.large.sizes[2] * p.large.sizes[3] * p.large.sizes[4];
    each_output(p, [&](const Range&, const Range&, const Range&, const std::array<int64_t, 3>& at) {
      for (int64_t c = c0; c < c1; ++c) {
        const int64_t index = indices[b * where.strides[0] + c * where.strides[1] + offset(where, at)];
        TORCH_CHECK_INDEX(index >= 0 && index < points, "[max_pool_backward] index ", index, " is out of range for ", points, " points");
        sums[index * n + c - c0] += static_cast<Wide<T>>(grad[b * p.small.strides[0] + c * p.small.strides[1] + offset(p.small, at)]);
      }
    });
  });
}

template <typename T>
Wide<T> divisor(const Pool& p, const Range& d, const Range& h, const Range& w) {
  return static_cast<Wide<T>>(p.divisor != 0 ? p.divisor : d.count * h.count * w.count);
}

template <typename T>
void avg_pool(const Pool& p, const T* in, T* out) {
  const View& x = p.large;
  each_task(x, [&](int64_t b, int64_t c0, int64_t c1) {
    std::array<Wide<T>, 32> sums;
    each_output(p, [&](const Range& rd, const Range& rh, const Range& rw, const std::array<int64_t, 3>& at) {
      const int64_t n = c1 - c0;
      std::fill_n(sums.begin(), n, Wide<T>(0));
      for (int64_t d = rd.begin; d < rd.end; ++d) {
        for (int64_t h = rh.begin; h < rh.end; ++h) {
          const T* row = in + b * x.strides[0] + c0 * x.strides[1] + d * x.strides[2] + h * x.strides[3];
          if (n == 1) {
            std::array<Wide<T>, 4> parts{};
            int64_t w = rw.begin;
            for (; w + 4 <= rw.end; w += 4) {
              for (int64_t i = 0; i < 4; ++i) {
                parts[static_cast<size_t>(i)] += static_cast<Wide<T>>(row[(w + i) * x.strides[4]]);
              }
            }
            for (; w < rw.end; ++w) {
              parts[0] += static_cast<Wide<T>>(row[w * x.strides[4]]);
            }
            sums[0] += (parts[0] + parts[1]) + (parts[2] + parts[3]);
            continue;
          }
          for (int64_t w = rw.begin; w < rw.end; ++w) {
            for (int64_t c = 0; c < n; ++c) {
              sums[static_cast<size_t>(c)] += static_cast<Wide<T>>(row[w * x.strides[4] + c * x.strides[1]]);
            }
          }
        }
      }
      const Wide<T> by = divisor<T>(p, rd, rh, rw);
      for (int64_t c = 0; c < n; ++c) {
        out[b * p.small.strides[0] + (c0 + c) * p.small.strides[1] + offset(p.small, at)] =
            static_cast<T>(sums[static_cast<size_t>(c)] / by);
      }
    });
  });
}

template <typename T>
void avg_pool_backward(const Pool& p, const T* grad, T* grad_in) {
  const View& x = p.large;
  each_zeroed_task(x, grad_in, [&](int64_t b, int64_t c0, int64_t c1, Wide<T>* sums) {
    const int64_t n = c1 - c0;
    each_output(p, [&](const Range& rd, const Range& rh, const Range& rw, const std::array<int64_t, 3>& at) {
      const Wide<T> by = divisor<T>(p, rd, rh, rw);
      for (int64_t c = 0; c < n; ++c) {
        const Wide<T> g = static_cast<Wide<T>>(grad[b * p.small.strides[0] + (c0 + c) * p.small.strides[1] + offset(p.small, at)]) / by;
        for (int64_t d = rd.begin; d < rd.end; ++d) {
          for (int64_t h = rh.begin; h < rh.end; ++h) {
            for (int64_t w = rw.begin; w < rw.end; ++w) {
              sums[((d * x.sizes[3] + h) * x.sizes[4] + w) * n + c] += g;
            }
          }
        }
      }
    });
  });
}

class PoolStep final : public LibraryStep {
 public:
  explicit PoolStep(const LibraryCall& call) : LibraryStep(call), call_(call), pool_(describe(call)) {}

 protected:
  void execute(const Invocation& invocation) const override {
    switch (call_.writes[0].dtype) {
      case c10::ScalarType::Double:
        return execute_as<double>(invocation);
      case c10::ScalarType::BFloat16:
        return execute_as<c10::BFloat16>(invocation);
      case c10::ScalarType::Half:
        return execute_as<c10::Half>(invocation);
      default:
        return execute_as<float>(invocation);
    }
  }

 private:
  template <typename T>
  void execute_as(const Invocation& invocation) const {
    if (numel(call_.writes[0]) == 0) {
      return;
    }
    const auto n = static_cast<size_t>(call_.ints[0]);
    const T* in = reinterpret_cast<const T*>(address(call_.reads[0], invocation));
    T* out = reinterpret_cast<T*>(address(call_.writes[0], invocation));
    switch (call_.primitive) {
      case Primitive::kMaxPool: {
        const bool wanted = call_.writes.size() > 1 && present(call_.writes[1]);
        return max_pool(pool_, wanted ? view_of(call_.writes[1], n) : View{}, in, out,
                        wanted ? reinterpret_cast<int64_t*>(address(call_.writes[1], invocation)) : nullptr);
      }
      case Primitive::kMaxPoolBackward:
        return max_pool_backward(pool_, view_of(call_.reads[1], n), in,
                                 reinterpret_cast<const int64_t*>(address(call_.reads[1], invocation)), out);
      case Primitive::kAvgPool:
      case Primitive::kAdaptiveAvgPool:
        return avg_pool(pool_, in, out);
      default:
        return avg_pool_backward(pool_, in, out);
    }
  }

  LibraryCall call_;
  Pool pool_;
};

}  // namespace

bool pool_supported(const LibraryCall& call) {
  const Operand &in = call.reads[0], &out = call.writes[0];
  const int64_t n = call.ints.at(0), rank = static_cast<int64_t>(in.sizes.size());
  const c10::ScalarType t = out.dtype;
  int64_t points = 1;  // indices inside a plane are counted in 32 bits
  for (size_t d = in.sizes.size() - static_cast<size_t>(std::min(n, rank)); d < in.sizes.size(); ++d) {
    points *= in.sizes[d];
  }
  const bool floating =
      t == c10::ScalarType::Float || t == c10::ScalarType::Double || t == c10::ScalarType::BFloat16 || t == c10::ScalarType::Half;
  return floating && points < int64_t{1} << 31 && in.dtype == t && n >= 1 && n <= 3 && (rank == n + 1 || rank == n + 2) &&
         out.sizes.size() == in.sizes.size();
}

std::unique_ptr<Step> make_pool(const LibraryCall& call, const Constants&) {
  return std::make_unique<PoolStep>(call);
}

}  // namespace torch_hpu::kernels
