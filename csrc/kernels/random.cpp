#include "csrc/kernels/random.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>

#include <cmath>

#include "csrc/support/philox.h"

namespace torch_hpu::kernels {
namespace {

// Fills `out` (any strides) with f(i), i the element's place in logical order.
template <typename F>
void fill(const at::Tensor& out, F f) {
  at::Tensor values = at::empty(out.sizes(), at::TensorOptions().dtype(at::kDouble));
  auto* p = values.mutable_data_ptr<double>();
  for (int64_t i = 0; i < values.numel(); ++i) {
    p[i] = f(static_cast<uint64_t>(i));
  }
  out.copy_(values);
}

double uniform(const RandomStream& s, uint64_t i, bool wide) {
  return wide ? philox_uniform_double(s.seed, s.offset, i) : static_cast<double>(philox_uniform_float(s.seed, s.offset, i));
}

} // namespace

bool run_random(std::string_view name, const RandomStream& s, const std::vector<at::Tensor>& inputs,
                const std::vector<ir::ScalarValue>& scalars, const std::vector<at::Tensor>& out) {
  const bool wide = out[0].scalar_type() == at::kDouble;
  if (name == "aten::uniform") {
    const double low = scalars[0].d, high = scalars[1].d;
    if (wide) {
      fill(out[0], [&](uint64_t i) { return low + (high - low) * uniform(s, i, true); });
    } else {
      fill(out[0], [&](uint64_t i) {
        return static_cast<float>(low) + static_cast<float>(high - low) * static_cast<float>(uniform(s, i, false));
      });
    }
  } else if (name == "aten::normal_functional") {
    const double mean = scalars[0].d, std = scalars[1].d;
    fill(out[0], [&](uint64_t i) {
      const double radius = std::sqrt(-2 * std::log(1 - uniform(s, 2 * i, wide))), angle = 2 * M_PI * uniform(s, 2 * i + 1, wide);
      return mean + std * radius * std::cos(angle);
    });
  } else if (name == "aten::bernoulli.p") {
    fill(out[0], [&](uint64_t i) { return uniform(s, i, false) < static_cast<double>(static_cast<float>(scalars[0].d)) ? 1.0 : 0.0; });
  } else if (name == "aten::native_dropout") {
    const double keep = 1 - scalars[0].d;
    fill(out[1], [&](uint64_t i) { return uniform(s, i, false) < static_cast<double>(static_cast<float>(keep)) ? 1.0 : 0.0; });
    const double scale = keep > 0 ? 1 / keep : 0;
    out[0].copy_(inputs[0] * out[1] * scale);
  } else {
    return false;
  }
  return true;
}

} // namespace torch_hpu::kernels
