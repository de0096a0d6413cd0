// Average pooling, adaptive or not, and its gradient.
#include "csrc/kernels/pool.h"

namespace torch_hpu::kernels {
namespace {

template <typename T>
Accumulator<T> divisor(const Pool& p, const Range& d, const Range& h, const Range& w) {
  return static_cast<Accumulator<T>>(p.divisor != 0 ? p.divisor : d.count * h.count * w.count);
}

template <typename T>
void avg_pool(const Pool& p, const T* in, T* out) {
  const Planes& x = p.large;
  each_task(x, [&](int64_t b, int64_t c0, int64_t c1) {
    std::array<Accumulator<T>, kChannels> sums;
    each_output(p, [&](const Range& rd, const Range& rh, const Range& rw, const std::array<int64_t, 3>& at) {
      const int64_t n = c1 - c0;
      std::fill_n(sums.begin(), n, Accumulator<T>(0));
      for (int64_t d = rd.begin; d < rd.end; ++d) {
        for (int64_t h = rh.begin; h < rh.end; ++h) {
          const T* row = in + b * x.strides[0] + c0 * x.strides[1] + d * x.strides[2] + h * x.strides[3];
          if (n == 1) {
            std::array<Accumulator<T>, 4> parts{};
            int64_t w = rw.begin;
            for (; w + 4 <= rw.end; w += 4) {
              for (int64_t i = 0; i < 4; ++i) {
                parts[static_cast<size_t>(i)] += static_cast<Accumulator<T>>(row[(w + i) * x.strides[4]]);
              }
            }
            for (; w < rw.end; ++w) {
              parts[0] += static_cast<Accumulator<T>>(row[w * x.strides[4]]);
            }
            sums[0] += (parts[0] + parts[1]) + (parts[2] + parts[3]);
            continue;
          }
          for (int64_t w = rw.begin; w < rw.end; ++w) {
            for (int64_t c = 0; c < n; ++c) {
              sums[static_cast<size_t>(c)] += static_cast<Accumulator<T>>(row[w * x.strides[4] + c * x.strides[1]]);
            }
          }
        }
      }
      const Accumulator<T> by = divisor<T>(p, rd, rh, rw);
      for (int64_t c = 0; c < n; ++c) {
        out[b * p.small.strides[0] + (c0 + c) * p.small.strides[1] + offset(p.small, at)] =
            static_cast<T>(sums[static_cast<size_t>(c)] / by);
      }
    });
  });
}

template <typename T>
void avg_pool_backward(const Pool& p, const T* grad, T* grad_in) {
  const Planes& x = p.large;
  each_zeroed_task(x, grad_in, [&](int64_t b, int64_t c0, int64_t c1, Accumulator<T>* sums) {
    const int64_t n = c1 - c0;
    each_output(p, [&](const Range& rd, const Range& rh, const Range& rw, const std::array<int64_t, 3>& at) {
      const Accumulator<T> by = divisor<T>(p, rd, rh, rw);
      for (int64_t c = 0; c < n; ++c) {
        const Accumulator<T> g =
            static_cast<Accumulator<T>>(grad[b * p.small.strides[0] + (c0 + c) * p.small.strides[1] + offset(p.small, at)]) / by;
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

class AvgPoolStep final : public LibraryStep {
 public:
  explicit AvgPoolStep(const LibraryCall& call) : LibraryStep(call), call_(call), pool_(call) {}

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
    const bool forward = call_.primitive == Primitive::kAvgPool || call_.primitive == Primitive::kAdaptiveAvgPool;
    forward ? avg_pool(pool_, in, out) : avg_pool_backward(pool_, in, out);
  }

  LibraryCall call_;
  Pool pool_;
};

}  // namespace

std::unique_ptr<Step> make_avg_pool(const LibraryCall& call, const Constants&) {
  return std::make_unique<AvgPoolStep>(call);
}

}  // namespace torch_hpu::kernels
