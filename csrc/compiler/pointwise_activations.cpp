// Activations and their backwards.
#include "csrc/compiler/pointwise.h"

namespace torch_hpu::compiler::pointwise {
namespace {

constexpr double kSqrtHalf = 0.70710678118654752440, kTwoOverSqrtPi = 1.12837916709551257390, kSqrtTwoOverPi = 0.79788456080286535588;

E gelu_tanh_argument(E x) {
  return kSqrtTwoOverPi * (x + 0.044715 * x * x * x);
}

E gelu(const Args& a) {
  const E x = a[0];
  if (a.attribute(1).toStringRef() == "tanh") {
    return 0.5 * x * (1.0 + tanh(gelu_tanh_argument(x)));
  }
  return x * 0.5 * (1.0 + erf(x * kSqrtHalf));
}

E gelu_backward(const Args& a) {
  const E g = a[0], x = a[1];
  if (a.attribute(2).toStringRef() == "tanh") {
    const E t = tanh(gelu_tanh_argument(x));
    const E derivative = kSqrtTwoOverPi * (1.0 + 3 * 0.044715 * x * x);
    return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * derivative);
  }
  const E cdf = 0.5 * (1.0 + erf(x * kSqrtHalf));
  const E pdf = exp(x * x * -0.5) * (kTwoOverSqrtPi * kSqrtHalf * 0.5);
  return g * (cdf + x * pdf);
}
E softplus(const Args& a) {  // (self, beta, threshold)
  const E z = a[0] * a[1];
  return where(z > a[2], a[0], log1p(exp(z)) / a[1]);
}
E elu_backward(const Args& a) {  // (grad_output, alpha, scale, input_scale, is_result, self_or_result)
  const E g = a[0], negative = a[1] * a[2], y = a[5];
  const E below = a.attribute(4).toBool() ? g * a[3] * (y + negative) : g * a[3] * negative * exp(y * a[3]);
  return where(y <= 0.0, below, g * a[2]);
}

const Row kRows[] = {
    {"relu", C, 0, [](const Args& a) { return a.dtype == ScalarType::Bool ? a[0] : maximum(a[0], a.constant(0)); }},
    {"gelu", C, 0, gelu},
    {"gelu_backward", C, 0, gelu_backward},
    {"silu", C, 0, [](const Args& a) { return a[0] * sigmoid(a[0]); }},
    {"silu_backward", C, 0,
     [](const Args& a) {
       const E s = sigmoid(a[1]);
       return a[0] * s * (1.0 + a[1] * (1.0 - s));
     }},
    {"sigmoid_backward", C, 0, [](const Args& a) { return a[0] * (1.0 - a[1]) * a[1]; }},
    {"tanh_backward", C, 0, [](const Args& a) { return a[0] * (1.0 - a[1] * a[1]); }},
    {"hardtanh", C, 0, [](const Args& a) { return minimum(maximum(a[0], a[1]), a[2]); }},
    {"hardtanh_backward", C, 0, [](const Args& a) { return where((a[1] <= a[2]) | (a[1] >= a[3]), a.constant(0), a[0]); }},
    {"hardswish", C, 0, [](const Args& a) { return a[0] * minimum(maximum(a[0] + 3, a.constant(0)), a.constant(6)) / 6; }},
    {"hardswish_backward", C, 0,
     [](const Args& a) { return where(a[1] < -3.0, a.constant(0), where(a[1] <= 3.0, a[0] * (a[1] / 3 + 0.5), a[0])); }},
    {"hardsigmoid", C, 0, [](const Args& a) { return minimum(maximum(a[0] + 3, a.constant(0)), a.constant(6)) / 6; }},
    {"hardsigmoid_backward", C, 0, [](const Args& a) { return where((a[1] > -3.0) & (a[1] < 3.0), a[0] / 6, a.constant(0)); }},
    {"leaky_relu", C, 0, [](const Args& a) { return where(a[0] > 0.0, a[0], a[0] * a[1]); }},
    {"leaky_relu_backward", C, 0, [](const Args& a) { return where(a[1] > 0.0, a[0], a[0] * a[2]); }},
    {"elu", C, 0, [](const Args& a) { return where(a[0] > 0.0, a[0] * a[2], unary(Op::kExpm1, a[0] * a[3]) * a[1] * a[2]); }},
    {"elu_backward", C, 0, elu_backward},
    {"softplus", C, 0, softplus},
    {"softplus_backward", C, 0,
     [](const Args& a) {
       const E z = exp(a[1] * a[2]);
       return where(a[1] * a[2] > a[3], a[0], a[0] * z / (z + 1.0));
     }},
    {"mish", C, 0, [](const Args& a) { return a[0] * tanh(log1p(exp(a[0]))); }},
    {"mish_backward", C, 0,
     [](const Args& a) {
       const E x = a[1], t = tanh(log1p(exp(x)));
       return a[0] * (t + x * sigmoid(x) * (1.0 - t * t));
     }},
    {"threshold", C, 0, [](const Args& a) { return where(a[0] <= a[1], a[2], a[0]); }},
    {"threshold_backward", C, 0, [](const Args& a) { return where(a[1] <= a[2], a.constant(0), a[0]); }},
    {"hardshrink", C, 0, [](const Args& a) { return where((a[0] >= -a[1]) & (a[0] <= a[1]), a.constant(0), a[0]); }},
    {"hardshrink_backward", C, 0, [](const Args& a) { return where((a[1] >= -a[2]) & (a[1] <= a[2]), a.constant(0), a[0]); }},
    {"softshrink", C, 0, [](const Args& a) { return where(a[0] > a[1], a[0] - a[1], where(a[0] < -a[1], a[0] + a[1], a[0] * 0)); }},
    {"softshrink_backward", C, 0, [](const Args& a) { return where((a[1] >= -a[2]) & (a[1] <= a[2]), a.constant(0), a[0]); }},
    {"_prelu_kernel", C, 0, [](const Args& a) { return where(a[0] > 0.0, a[0], a[1] * a[0]); }},
    {"log_sigmoid_backward", C, 0, [](const Args& a) { return a[0] * (1.0 - sigmoid(a[1])); }},
    {"native_dropout_backward", Kind::kFirst, 0, [](const Args& a) { return a[0] * cast(a[1], a.dtype) * a[2]; }},
};

}  // namespace

std::vector<Row> activation_rows() {
  return {std::begin(kRows), std::end(kRows)};
}

}  // namespace torch_hpu::compiler::pointwise
