// Scans along one dim: cumsum, cumprod, logcumsumexp, cummax, cummin.
//
// Note [Scans]
// A line is what one walk along the scanned dim meets; lines are independent, and neighbouring ones are walked in blocks, so that their chains of
// additions overlap. Few long lines are cut into chunks of a fixed length: first the state that each chunk leaves, then the state before
// each chunk, then every chunk once more from there. Sums and products are kept in double (64 bits for integers), as ATen keeps them.
#include <ATen/Dispatch.h>
#include <ATen/NumericUtils.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <limits>

#include "csrc/kernels/step.h"

namespace torch_hpu::kernels {
namespace {

constexpr int64_t kBlock = 8;         // lines
constexpr int64_t kChunk = 16 << 10;  // elements of a line
constexpr int64_t kFewLines = 64;     // below that long lines are cut
constexpr int64_t kGrain = 32 << 10;  // elements worth a thread

template <typename T>
using Wide = std::conditional_t<std::is_integral_v<T>, int64_t, double>;

// A scan: the state of a line, how an element changes it, how the states of two neighbouring stretches join, what is written.
template <typename T>
struct Sum {
  using State = Wide<T>;
  static State start() {
    return 0;
  }
  static State step(State s, T x, int64_t) {
    return s + static_cast<State>(x);
  }
  static State join(State a, State b) {
    return a + b;
  }
  static T value(State s) {
    return static_cast<T>(s);
  }
};

template <typename T>
struct Product {
  using State = Wide<T>;
  static State start() {
    return 1;
  }
  static State step(State s, T x, int64_t) {
    return s * static_cast<State>(x);
  }
  static State join(State a, State b) {
    return a * b;
  }
  static T value(State s) {
    return static_cast<T>(s);
  }
};

template <typename T>
struct LogSumExp {
  using State = double;
  static State start() {
    return -std::numeric_limits<double>::infinity();
  }
  static State join(State a, State b) {
    if (std::isnan(a) || std::isnan(b)) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    const double low = std::min(a, b), high = std::max(a, b);
    return low != high || std::isfinite(low) ? std::log1p(std::exp(low - high)) + high : high;
  }
  static State step(State s, T x, int64_t) {
    return join(s, static_cast<double>(x));
  }
  static T value(State s) {
    return static_cast<T>(s);
  }
};

// The last of equal elements wins, and NaN wins for good.
template <typename T, bool Largest>
struct Extreme {
  struct State {
    T value{};
    int64_t index = -1;  // of nothing
  };
  static State start() {
    return {};
  }
  static State join(State a, State b) {
    if (a.index < 0 || b.index < 0) {
      return a.index < 0 ? b : a;
    }
    const bool better = at::_isnan(b.value) || (!at::_isnan(a.value) && (Largest ? b.value >= a.value : b.value <= a.value));
    return better ? b : a;
  }
  static State step(State s, T x, int64_t index) {
    return join(s, {x, index});
  }
  static T value(State s) {
    return s.value;
  }
};

class ScanStep final : public LibraryStep {
 public:
  explicit ScanStep(const LibraryCall& call) : LibraryStep(call), call_(call) {
    const auto dim = static_cast<size_t>(call.ints[1]);
    const Operand &in = call.reads[0], &out = call.writes[0];
    length_ = in.sizes[dim];
    along_ = {in.strides[dim], out.strides[dim], present(call.writes[1]) ? call.writes[1].strides[dim] : 0};
    for (size_t d = 0; d < in.sizes.size(); ++d) {
      if (d != dim) {
        sizes_.push_back(in.sizes[d]);
        strides_.push_back({in.strides[d], out.strides[d], present(call.writes[1]) ? call.writes[1].strides[d] : 0});
        lines_ *= in.sizes[d];
      }
    }
  }

 protected:
  void execute(const Invocation& invocation) const override {
    if (lines_ * length_ == 0) {
      return;
    }
    AT_DISPATCH_ALL_TYPES_AND3(at::kHalf, at::kBFloat16, at::kBool, call_.writes[0].dtype, "scan", [&] {
      switch (static_cast<Scan>(call_.ints[0])) {
        case Scan::kSum:
          return scan<scalar_t, Sum<scalar_t>>(invocation);
        case Scan::kProduct:
          return scan<scalar_t, Product<scalar_t>>(invocation);
        case Scan::kLogSumExp:
          if constexpr (!std::is_integral_v<scalar_t>) {
            scan<scalar_t, LogSumExp<scalar_t>>(invocation);
          }
          return;
        case Scan::kMax:
          return scan<scalar_t, Extreme<scalar_t, true>>(invocation);
        case Scan::kMin:
          return scan<scalar_t, Extreme<scalar_t, false>>(invocation);
      }
    });
  }

 private:
  using Offsets = std::array<int64_t, 3>;  // of input, output and indices, elements

  Offsets line(int64_t i) const {
    Offsets at{};
    for (size_t d = sizes_.size(); d-- > 0;) {
      const int64_t c = i % sizes_[d];
      i /= sizes_[d];
      for (size_t k = 0; k < at.size(); ++k) {
        at[k] += c * strides_[d][k];
      }
    }
    return at;
  }

  // A stretch [begin, end) of the lines of a block, from the states `s`, which become the states behind it.
  template <typename T, typename S, bool Write>
  void walk(const Invocation& invocation, int64_t block, int64_t begin, int64_t end, typename S::State* s) const {
    const T* in = reinterpret_cast<const T*>(address(call_.reads[0], invocation));
    T* out = reinterpret_cast<T*>(address(call_.writes[0], invocation));
    auto* indices = reinterpret_cast<int64_t*>(optional_address(call_.writes[1], invocation));
    const int64_t first = block * kBlock, n = std::min(kBlock, lines_ - first);
    std::array<Offsets, kBlock> at;
    for (int64_t j = 0; j < n; ++j) {
      at[j] = line(first + j);
    }
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        s[j] = S::step(s[j], in[at[j][0] + i * along_[0]], i);
        if constexpr (Write) {
          out[at[j][1] + i * along_[1]] = S::value(s[j]);
          if constexpr (requires { s[j].index; }) {
            if (indices != nullptr) {
              indices[at[j][2] + i * along_[2]] = s[j].index;
            }
          }
        }
      }
    }
  }

  template <typename T, typename S>
  void scan(const Invocation& invocation) const {
    using State = typename S::State;
    using Block = std::array<State, kBlock>;
    const auto fresh = [] {
      Block b;
      b.fill(S::start());
      return b;
    };
    const int64_t blocks = (lines_ + kBlock - 1) / kBlock;
    if (lines_ >= kFewLines || length_ < 2 * kChunk) {
      at::parallel_for(0, blocks, std::max<int64_t>(1, kGrain / (kBlock * length_)), [&](int64_t from, int64_t to) {
        for (int64_t b = from; b < to; ++b) {
          Block s = fresh();
          walk<T, S, true>(invocation, b, 0, length_, s.data());
        }
      });
      return;
    }
    const int64_t chunks = (length_ + kChunk - 1) / kChunk;
    std::vector<Block> states(static_cast<size_t>(blocks * chunks), fresh());
    const auto each = [&](auto f) {
      at::parallel_for(0, blocks * chunks, 1, [&](int64_t from, int64_t to) {
        for (int64_t k = from; k < to; ++k) {
          f(k / chunks, k % chunks * kChunk, std::min(length_, (k % chunks + 1) * kChunk), states[static_cast<size_t>(k)].data());
        }
      });
    };
    each([&](int64_t block, int64_t begin, int64_t end, State* s) { walk<T, S, false>(invocation, block, begin, end, s); });
    for (int64_t block = 0; block < blocks; ++block) {
      Block before = fresh();
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        Block& here = states[static_cast<size_t>(block * chunks + chunk)];
        for (size_t j = 0; j < before.size(); ++j) {
          const State behind = S::join(before[j], here[j]);
          here[j] = before[j];
          before[j] = behind;
        }
      }
    }
    each([&](int64_t block, int64_t begin, int64_t end, State* s) { walk<T, S, true>(invocation, block, begin, end, s); });
  }

  LibraryCall call_;
  int64_t length_ = 0, lines_ = 1;
  Offsets along_{};
  std::vector<int64_t> sizes_;
  std::vector<Offsets> strides_;
};

}  // namespace

bool scan_supported(const LibraryCall& call) {
  const c10::ScalarType t = call.writes[0].dtype;
  const auto kind = static_cast<Scan>(call.ints[0]);
  const bool whole = c10::isIntegralType(t, /*includeBool=*/false) && !c10::isBarebonesUnsignedType(t);
  const bool real = t == at::kFloat || t == at::kDouble || t == at::kHalf || t == at::kBFloat16;
  const bool extreme = kind == Scan::kMax || kind == Scan::kMin;
  return call.reads[0].dtype == t && (real || (whole && kind != Scan::kLogSumExp) || (t == at::kBool && extreme));
}

std::unique_ptr<Step> make_scan(const LibraryCall& call, const Constants&) {
  return std::make_unique<ScanStep>(call);
}

}  // namespace torch_hpu::kernels
