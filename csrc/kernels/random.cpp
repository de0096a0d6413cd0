// A table of random ops; each row computes the value of one element from its place in logical order. Elements are drawn in blocks of four
// words, in parallel: the result does not depend on the number of threads.
#include "csrc/kernels/random.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <unordered_map>

#include "csrc/support/philox.h"

namespace torch_hpu::kernels {
namespace {

struct Draw {
  const RandomStream& stream;
  c10::ArrayRef<c10::IValue> args;
  c10::ArrayRef<at::Tensor> out;

  c10::ScalarType dtype() const {
    return args[0].toTensor().scalar_type();
  }
  bool wide() const {
    return dtype() == c10::ScalarType::Double;
  }
  // The first n words of the stream.
  std::vector<uint32_t> words(int64_t n) const {
    std::vector<uint32_t> w(static_cast<size_t>((n + 3) / 4 * 4));
    at::parallel_for(0, (n + 3) / 4, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const auto block = philox4x32(stream.seed, stream.offset + static_cast<uint64_t>(b));
        std::copy(block.begin(), block.end(), w.begin() + 4 * b);
      }
    });
    return w;
  }
  std::vector<float> uniform_floats(int64_t n) const {
    const std::vector<uint32_t> w = words(n);
    std::vector<float> u(static_cast<size_t>(n));
    std::transform(w.begin(), w.begin() + n, u.begin(), [](uint32_t x) { return static_cast<float>(x >> 8) * 0x1p-24f; });
    return u;
  }
  std::vector<uint64_t> bits(int64_t n) const {
    const std::vector<uint32_t> w = words(2 * n);
    std::vector<uint64_t> b(static_cast<size_t>(n));
    for (size_t i = 0; i < b.size(); ++i) {
      b[i] = w[2 * i] | uint64_t{w[2 * i + 1]} << 32;
    }
    return b;
  }
  std::vector<double> uniform_doubles(int64_t n) const {
    const std::vector<uint64_t> b = bits(n);
    std::vector<double> u(b.size());
    std::transform(b.begin(), b.end(), u.begin(), [](uint64_t x) { return static_cast<double>(x >> 11) * 0x1p-53; });
    return u;
  }
};

// A fresh contiguous tensor of T with element i = f(i).
template <typename T, typename F>
at::Tensor generate(c10::IntArrayRef sizes, F f) {
  at::Tensor values = at::empty(sizes, at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value));
  T* p = values.mutable_data_ptr<T>();
  at::parallel_for(0, values.numel(), 8192, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      p[i] = f(static_cast<size_t>(i));
    }
  });
  return values;
}

// f(u) of one uniform number per element, in float, or in double for double.
template <typename F>
void from_uniform(const Draw& d, F f) {
  const int64_t n = d.out[0].numel();
  if (d.wide()) {
    const std::vector<double> u = d.uniform_doubles(n);
    d.out[0].copy_(generate<double>(d.out[0].sizes(), [&](size_t i) { return f(u[i]); }));
  } else {
    const std::vector<float> u = d.uniform_floats(n);
    d.out[0].copy_(generate<float>(d.out[0].sizes(), [&](size_t i) { return f(u[i]); }));
  }
}

void uniform(const Draw& d) {  // (self, from, to)
  const double low = d.args[1].toDouble(), high = d.args[2].toDouble();
  from_uniform(d, [=](auto u) {
    using T = decltype(u);
    return static_cast<T>(low) + (static_cast<T>(high) - static_cast<T>(low)) * u;
  });
}

// f(u) of one uniform double per element.
template <typename F>
void from_uniform_double(const Draw& d, F f) {
  const std::vector<double> u = d.uniform_doubles(d.out[0].numel());
  d.out[0].copy_(generate<double>(d.out[0].sizes(), [&](size_t i) { return f(u[i]); }));
}

void exponential(const Draw& d) {  // (self, lambd)
  const double lambda = d.args[1].toDouble();
  TORCH_CHECK(lambda > 0, "[exponential_] got lambd=", lambda, ", expected lambd > 0");
  from_uniform_double(d, [=](double u) { return -std::log1p(-u) / lambda; });
}

void geometric(const Draw& d) {  // (self, p)
  const double p = d.args[1].toDouble();
  TORCH_CHECK(0 < p && p < 1, "[geometric_] got p=", p, ", expected a number between 0 and 1");
  from_uniform_double(d, [=](double u) { return std::max(1.0, std::ceil(std::log1p(-u) / std::log1p(-p))); });
}

void cauchy(const Draw& d) {  // (self, median, sigma)
  const double median = d.args[1].toDouble(), sigma = d.args[2].toDouble();
  TORCH_CHECK(sigma > 0, "[cauchy_] got sigma=", sigma, ", expected sigma > 0");
  from_uniform_double(d, [=](double u) { return median + sigma * std::tan((u - 0.5) * M_PI); });
}

at::Tensor standard_normal(const Draw& d, c10::IntArrayRef sizes, bool wide) {
  const int64_t n = c10::multiply_integers(sizes);
  auto box_muller = [](double u, double v) { return std::sqrt(-2 * std::log1p(-u)) * std::cos(2 * M_PI * v); };
  if (wide) {
    const std::vector<double> u = d.uniform_doubles(2 * n);
    return generate<double>(sizes, [&](size_t i) { return box_muller(u[2 * i], u[2 * i + 1]); });
  }
  const std::vector<float> u = d.uniform_floats(2 * n);
  return generate<float>(
      sizes, [&](size_t i) { return static_cast<float>(box_muller(static_cast<double>(u[2 * i]), static_cast<double>(u[2 * i + 1]))); });
}

void normal(const Draw& d) {  // (self, mean, std)
  const double std = d.args[2].toDouble();
  TORCH_CHECK(std >= 0, "[normal] got std=", std, ", expected std >= 0");
  d.out[0].copy_(standard_normal(d, d.out[0].sizes(), d.wide()).mul_(std).add_(d.args[1].toDouble()));
}

void normal_by(const Draw& d) {  // (mean, std), one of them a tensor
  const bool wide = d.out[0].scalar_type() == c10::ScalarType::Double;
  const at::Tensor z = standard_normal(d, d.out[0].sizes(), wide);
  const at::Tensor scaled = d.args[1].isTensor() ? z * d.args[1].toTensor() : z * d.args[1].toDouble();
  d.out[0].copy_(d.args[0].isTensor() ? scaled + d.args[0].toTensor() : scaled + d.args[0].toDouble());
}

void log_normal(const Draw& d) {  // (self, mean, std)
  const double std = d.args[2].toDouble();
  TORCH_CHECK(std > 0, "[log_normal_] got std=", std, ", expected std > 0");
  d.out[0].copy_(standard_normal(d, d.out[0].sizes(), /*wide=*/true).mul_(std).add_(d.args[1].toDouble()).exp_());
}

void bernoulli_p(const Draw& d) {  // (self, p)
  const double p = d.args[1].toDouble();
  TORCH_CHECK(0 <= p && p <= 1, "[bernoulli] got p=", p, ", expected a number between 0 and 1");
  const std::vector<float> u = d.uniform_floats(d.out[0].numel());
  d.out[0].copy_(generate<float>(d.out[0].sizes(), [&](size_t i) { return u[i] < static_cast<float>(p) ? 1.0f : 0.0f; }));
}

void bernoulli_by(const Draw& d, const at::Tensor& probability) {
  const at::Tensor p = probability.to(c10::ScalarType::Double).expand(d.out[0].sizes()).contiguous();
  const double* at = p.const_data_ptr<double>();
  TORCH_CHECK(std::all_of(at, at + p.numel(), [](double x) { return 0 <= x && x <= 1; }),
              "[bernoulli] expected probabilities between 0 and 1");
  const std::vector<float> u = d.uniform_floats(p.numel());
  d.out[0].copy_(generate<float>(p.sizes(), [&](size_t i) { return static_cast<double>(u[i]) < at[i] ? 1.0f : 0.0f; }));
}

void bernoulli_self(const Draw& d) {  // (self: the probabilities)
  bernoulli_by(d, d.args[0].toTensor());
}

void bernoulli_tensor(const Draw& d) {  // (self, p)
  bernoulli_by(d, d.args[1].toTensor());
}

void dropout(const Draw& d) {  // (input, p, train?) -> (output, mask)
  const at::Tensor& x = d.args[0].toTensor();
  const bool train = d.args[2].isNone() || d.args[2].toBool();
  const double keep = train ? 1 - d.args[1].toDouble() : 1;
  const std::vector<float> u = d.uniform_floats(x.numel());
  const at::Tensor mask = generate<bool>(x.sizes(), [&](size_t i) { return u[i] < static_cast<float>(keep); });
  const at::Tensor scaled = x.mul(keep > 0 ? 1 / keep : 0);
  const at::Tensor result = at::where(mask, scaled, scaled.mul(0));
  if (d.out[0].defined()) {
    d.out[0].copy_(result);
  }
  if (d.out[1].defined()) {
    d.out[1].copy_(mask);
  }
}

// Integers from + (bits mod range), the remainder that Python's % gives on the bits as a signed number; range 0 stands for 2^64.
void integers(const Draw& d, int64_t from, uint64_t range) {
  const std::vector<uint64_t> bits = d.bits(d.out[0].numel());
  constexpr auto kLongMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  d.out[0].copy_(generate<int64_t>(d.out[0].sizes(), [&](size_t i) {
    uint64_t r = bits[i];
    if (range > kLongMax) {
      r %= range;
    } else if (range != 0) {
      const int64_t m = static_cast<int64_t>(r) % static_cast<int64_t>(range);
      r = static_cast<uint64_t>(m < 0 ? m + static_cast<int64_t>(range) : m);
    }
    return static_cast<int64_t>(static_cast<uint64_t>(from) + r);
  }));
}

void random_full(const Draw& d) {  // (self)
  integers(d, 0, static_cast<uint64_t>(largest_random(d.dtype())) + 1);
}

void random_to(const Draw& d) {  // (self, to)
  const int64_t to = d.args[1].toInt();
  TORCH_CHECK(to > 0, "[random_] got to=", to, ", expected a number above 0");
  integers(d, 0, static_cast<uint64_t>(to));
}

void random_from(const Draw& d) {  // (self, from, to?)
  const int64_t from = d.args[1].toInt();
  if (d.args[2].isNone()) {
    integers(d, from, static_cast<uint64_t>(largest_random(d.dtype())) - static_cast<uint64_t>(from) + 1);
    return;
  }
  const int64_t to = d.args[2].toInt();
  TORCH_CHECK(from < to, "[random_] got from=", from, " and to=", to, ", expected from < to");
  integers(d, from, static_cast<uint64_t>(to) - static_cast<uint64_t>(from));
}

void randperm(const Draw& d) {  // (n)
  const auto n = static_cast<size_t>(d.args[0].toInt());
  const std::vector<uint64_t> keys = d.bits(static_cast<int64_t>(n));
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)]; });
  d.out[0].copy_(generate<int64_t>(d.out[0].sizes(), [&](size_t i) { return order[i]; }));
}

// The class of each uniform number in a row of weights: the first whose cumulative weight exceeds it.
void multinomial(const Draw& d) {  // (self, num_samples, replacement)
  const at::Tensor weights = d.args[0].toTensor().to(c10::ScalarType::Double).contiguous();
  const int64_t classes = weights.size(-1), samples = d.args[1].toInt(), rows = classes == 0 ? 0 : weights.numel() / classes;
  const bool replacement = d.args[2].toBool();
  const std::vector<double> u = d.uniform_doubles(rows * samples);
  const at::Tensor picked = at::empty({rows, samples}, at::TensorOptions().dtype(c10::ScalarType::Long));
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> w(weights.const_data_ptr<double>() + r * classes, weights.const_data_ptr<double>() + (r + 1) * classes);
    TORCH_CHECK(std::all_of(w.begin(), w.end(), [](double x) { return std::isfinite(x) && x >= 0; }),
                "[multinomial] probability tensor contains either `inf`, `nan` or element < 0");
    double total = std::accumulate(w.begin(), w.end(), 0.0);
    TORCH_CHECK(total > 0, "[multinomial] invalid multinomial distribution (sum of probabilities <= 0)");
    for (int64_t s = 0; s < samples; ++s) {
      double left = u[static_cast<size_t>(r * samples + s)] * total;
      int64_t chosen = -1;
      for (int64_t k = 0; k < classes && left >= 0; ++k) {
        if (w[static_cast<size_t>(k)] > 0) {
          chosen = k;
          left -= w[static_cast<size_t>(k)];
        }
      }
      TORCH_CHECK(chosen >= 0, "[multinomial] not enough non-zero probabilities for ", samples, " samples without replacement");
      picked.mutable_data_ptr<int64_t>()[r * samples + s] = chosen;
      if (!replacement) {
        total -= w[static_cast<size_t>(chosen)];
        w[static_cast<size_t>(chosen)] = 0;
      }
    }
  }
  d.out[0].copy_(picked.view(d.out[0].sizes()));
}

// A generator for the distributions of the standard library: SplitMix64, begun from one element's bits.
struct Engine {
  using result_type = uint64_t;
  uint64_t state;
  static constexpr uint64_t min() {
    return 0;
  }
  static constexpr uint64_t max() {
    return std::numeric_limits<uint64_t>::max();
  }
  uint64_t operator()() {
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
};

void poisson(const Draw& d) {  // (rates)
  const at::Tensor rates = d.args[0].toTensor().to(c10::ScalarType::Double).contiguous();
  const std::vector<uint64_t> bits = d.bits(rates.numel());
  const double* rate = rates.const_data_ptr<double>();
  d.out[0].copy_(generate<double>(rates.sizes(), [&](size_t i) {
    TORCH_CHECK(rate[i] >= 0, "[poisson] got the rate ", rate[i], ", expected rates of 0 or more");
    Engine engine{bits[i]};
    return rate[i] == 0 ? 0.0 : static_cast<double>(std::poisson_distribution<int64_t>(rate[i])(engine));
  }));
}

void binomial(const Draw& d) {  // (count, prob)
  const at::Tensor n = d.args[0].toTensor().to(c10::ScalarType::Double).expand(d.out[0].sizes()).contiguous();
  const at::Tensor p = d.args[1].toTensor().to(c10::ScalarType::Double).expand(d.out[0].sizes()).contiguous();
  const std::vector<uint64_t> bits = d.bits(n.numel());
  const double *count = n.const_data_ptr<double>(), *probability = p.const_data_ptr<double>();
  d.out[0].copy_(generate<double>(n.sizes(), [&](size_t i) {
    Engine engine{bits[i]};
    return static_cast<double>(std::binomial_distribution<int64_t>(static_cast<int64_t>(count[i]), probability[i])(engine));
  }));
}

using Rule = void (*)(const Draw&);

const std::unordered_map<std::string_view, Rule>& rules() {
  static const std::unordered_map<std::string_view, Rule> table{
      {"aten::uniform", uniform},
      {"aten::normal_functional", normal},
      {"aten::exponential", exponential},
      {"aten::bernoulli", bernoulli_self},
      {"aten::bernoulli.p", bernoulli_p},
      {"aten::bernoulli.Tensor", bernoulli_tensor},
      {"aten::native_dropout", dropout},
      {"aten::random", random_full},
      {"aten::random.to", random_to},
      {"aten::random.from", random_from},
      {"aten::randperm", randperm},
      {"aten::geometric", geometric},
      {"aten::cauchy", cauchy},
      {"aten::log_normal", log_normal},
      {"aten::normal.Tensor_float", normal_by},
      {"aten::normal.float_Tensor", normal_by},
      {"aten::normal.Tensor_Tensor", normal_by},
      {"aten::multinomial", multinomial},
      {"aten::poisson", poisson},
      {"aten::binomial", binomial},
  };
  return table;
}

}  // namespace

int64_t largest_random(c10::ScalarType t) {
  switch (t) {
    case c10::ScalarType::Bool:
      return 1;
    case c10::ScalarType::Byte:
      return std::numeric_limits<uint8_t>::max();
    case c10::ScalarType::Char:
      return std::numeric_limits<int8_t>::max();
    case c10::ScalarType::Short:
      return std::numeric_limits<int16_t>::max();
    case c10::ScalarType::Int:
      return std::numeric_limits<int32_t>::max();
    case c10::ScalarType::BFloat16:
      return int64_t{1} << 8;
    case c10::ScalarType::Half:
      return int64_t{1} << 11;
    case c10::ScalarType::Float:
      return int64_t{1} << 24;
    case c10::ScalarType::Double:
      return int64_t{1} << 53;
    default:
      return std::numeric_limits<int64_t>::max();
  }
}

bool is_random(std::string_view name) {
  return rules().count(name) != 0;
}

void run_random(std::string_view name, const RandomStream& stream, c10::ArrayRef<c10::IValue> args, c10::ArrayRef<at::Tensor> out) {
  const auto it = rules().find(name);
  TORCH_INTERNAL_ASSERT(it != rules().end(), name, " is recorded as random but has no rule");
  it->second({stream, args, out});
}

}  // namespace torch_hpu::kernels
