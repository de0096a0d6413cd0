// Losses, forward and backward.
#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::DimVector;

enum Reduction : int64_t { kNoReduction = 0, kMean = 1, kSum = 2 };

// An elementwise loss: its formula of input, target and the loss's number (beta, delta), and that formula's derivative by the input.
struct Elementwise {
  E (*value)(E x, E y, E number);
  E (*derivative)(E x, E y, E number);
};

constexpr Elementwise kSquared{[](E x, E y, E) { return (x - y) * (x - y); }, [](E x, E y, E) { return (x - y) * 2; }};
constexpr Elementwise kSmoothL1{[](E x, E y, E beta) {
                                  const E z = abs(x - y);
                                  return where(z < beta, 0.5 * z * z / beta, z - 0.5 * beta);
                                },
                                [](E x, E y, E beta) {
                                  const E d = x - y, one = x.builder->constant(1, x.dtype());
                                  return where(d <= -beta, -one, where(d >= beta, one, d / beta));
                                }};
constexpr Elementwise kHuber{[](E x, E y, E delta) {
                               const E z = abs(x - y);
                               return where(z <= delta, 0.5 * z * z, delta * (z - 0.5 * delta));
                             },
                             [](E x, E y, E delta) {
                               const E d = x - y;
                               return where(d < -delta, -delta, where(d > delta, delta, d));
                             }};
// Logarithms are clamped at -100, and the slope's denominator at 1e-12, as ATen does.
constexpr Elementwise kCrossEntropy{[](E x, E y, E) {
                                      const E floor = x.builder->constant(-100, x.dtype());
                                      return (y - 1) * maximum(log1p(-x), floor) - y * maximum(log(x), floor);
                                    },
                                    [](E x, E y, E) { return (x - y) / maximum((1.0 - x) * x, x.builder->constant(1e-12, x.dtype())); }};

constexpr size_t kNoArg = ~size_t{0};

// (self, target, ...) with the places of reduction, of the number and of an optional weight.
template <const Elementwise& loss, size_t ReductionArg, size_t NumberArg = kNoArg, size_t WeightArg = kNoArg>
bool lower_elementwise_loss(LoweringContext& c) {
  const ir::Window &x = c.window(0), &y = c.window(1);
  if (!loopable(c) || x.sizes != y.sizes || x.numel() == 0) {
    return false;
  }
  const int64_t reduction = c.node.args[ReductionArg].value.toInt();
  LoopBuilder b(c, std::string(c.node.op->name.substr(6)), x.sizes, reduction == kNoReduction ? x.sizes.size() : 0);
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  E number;
  if constexpr (NumberArg != kNoArg) {
    number = b.scalar(c.node.args[NumberArg].index, dtype);
  }
  E result = loss.value(cast(b.load(c.node.args[0].index), dtype), cast(b.load(c.node.args[1].index), dtype), number);
  if constexpr (WeightArg != kNoArg) {
    if (c.node.args[WeightArg].kind == ir::Arg::Kind::kWindow) {
      result = result * cast(b.load(c.node.args[WeightArg].index), dtype);
    }
  }
  if (reduction != kNoReduction) {
    result = sum(result);
    if (reduction == kMean) {
      result = result / static_cast<double>(x.numel());
    }
    b.store(c.node.writes[0], DimVector(x.sizes.size(), 0), result);
  } else {
    b.store(c.node.writes[0], result);
  }
  b.finish();
  return true;
}

// (grad_output, self, target, ...)
template <const Elementwise& loss, size_t ReductionArg, size_t NumberArg = kNoArg, size_t WeightArg = kNoArg>
bool lower_elementwise_loss_backward(LoweringContext& c) {
  const ir::Window& x = c.window(1);
  if (!loopable(c) || x.sizes != c.window(2).sizes) {
    return false;
  }
  LoopBuilder b(c, std::string(c.node.op->name.substr(6)), c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  E number;
  if constexpr (NumberArg != kNoArg) {
    number = b.scalar(c.node.args[NumberArg].index, dtype);
  }
  E result = loss.derivative(cast(b.load(c.node.args[1].index), dtype), cast(b.load(c.node.args[2].index), dtype), number);
  if (c.node.args[ReductionArg].value.toInt() == kMean) {
    result = result / static_cast<double>(std::max<int64_t>(1, x.numel()));
  }
  result = result * cast(b.load(c.node.args[0].index), dtype);
  if constexpr (WeightArg != kNoArg) {
    if (c.node.args[WeightArg].kind == ir::Arg::Kind::kWindow) {
      result = result * cast(b.load(c.node.args[WeightArg].index), dtype);
    }
  }
  b.store(c.node.writes[0], result);
  b.finish();
  return true;
}

// The class of each row: its checked index, whether it counts, and its weight.
struct Target {
  E index, counts, weight;
};

Target target_of(LoweringContext& c, LoopBuilder& b, const DimVector& strides, size_t target_arg, size_t weight_arg, int64_t ignore,
                 int64_t classes, ScalarType dtype) {
  const E t = cast(b.load(c.node.args[target_arg].index, strides), ScalarType::Long);
  const E counts = not_equal(t, b.constant(static_cast<double>(ignore), ScalarType::Long));
  const E index = b.check_index(where(counts, t, b.constant(0, ScalarType::Long)), classes);
  E weight = b.constant(1, dtype);
  if (c.node.args[weight_arg].kind == ir::Arg::Kind::kWindow) {
    const double stride = static_cast<double>(c.window(weight_arg).strides[0]);
    weight = cast(b.load_at(c.node.args[weight_arg].index, DimVector(strides.size(), 0), index * stride), dtype);
  }
  return {index, counts, where(counts, weight, b.constant(0, dtype))};
}

// Dims of [N, C, spatial...] without C.
DimVector without_channels(const DimVector& s) {
  DimVector t{s[0]};
  t.append(s.begin() + 2, s.end());
  return t;
}

// (self [N, C, spatial...], target [N, spatial...], weight?, reduction, ignore_index) -> (output, total_weight)
bool lower_nll_loss(LoweringContext& c) {
  const ir::Window& x = c.window(0);
  if (!loopable(c) || x.sizes.size() < 2 || x.numel() == 0) {
    return false;
  }
  const int64_t reduction = c.node.args[3].value.toInt(), ignore = c.node.args[4].value.toInt();
  const ScalarType dtype = compute_dtype(x.dtype);
  const DimVector sizes = without_channels(x.sizes), none(sizes.size(), 0);
  LoopBuilder b(c, "nll_loss", sizes, reduction == kNoReduction ? sizes.size() : 0);
  const Target t = target_of(c, b, c.window(1).strides, 1, 2, ignore, x.sizes[1], dtype);
  const E picked = b.load_at(c.node.args[0].index, without_channels(x.strides), t.index * static_cast<double>(x.strides[1]));
  const E loss = where(t.counts, -(picked * t.weight), b.constant(0, dtype));
  if (reduction == kNoReduction) {
    b.store(c.node.writes[0], loss);
    b.store(c.node.writes[1], none, b.constant(0, dtype));
  } else {
    const E total = sum(t.weight), all = sum(loss);
    b.store(c.node.writes[0], none, reduction == kMean ? all / total : all);
    b.store(c.node.writes[1], none, total);
  }
  b.finish();
  return true;
}

// (grad_output, self [N, C, spatial...], target, weight?, reduction, ignore_index, total_weight)
bool lower_nll_loss_backward(LoweringContext& c) {
  const ir::Window& x = c.window(1);
  if (!loopable(c) || x.sizes.size() < 2 || x.numel() == 0) {
    return false;
  }
  const int64_t reduction = c.node.args[4].value.toInt(), ignore = c.node.args[5].value.toInt();
  const ScalarType dtype = compute_dtype(x.dtype);
  LoopBuilder b(c, "nll_loss_backward", x.sizes, x.sizes.size());
  auto with_channels = [](DimVector s) {  // of a tensor without them
    s.insert(s.begin() + 1, 0);
    return s;
  };
  const DimVector none(x.sizes.size(), 0);
  const Target t = target_of(c, b, with_channels(c.window(2).strides), 2, 3, ignore, x.sizes[1], dtype);
  const ir::Window& grad = c.window(0);
  E g = cast(b.load(c.node.args[0].index, grad.sizes.empty() ? none : with_channels(grad.strides)), dtype);
  if (reduction == kMean) {
    g = g / cast(b.load(c.node.args[6].index, none), dtype);
  }
  const E hit = equal(b.index(1), t.index) & t.counts;
  b.store(c.node.writes[0], where(hit, -(g * t.weight), b.constant(0, dtype)));
  b.finish();
  return true;
}
}  // namespace

std::vector<LoweringRow> loss_lowerings() {
  return {
      {"mse_loss", &lower_elementwise_loss<kSquared, 2>},
      {"mse_loss_backward", &lower_elementwise_loss_backward<kSquared, 3>},
      {"smooth_l1_loss", &lower_elementwise_loss<kSmoothL1, 2, 3>},
      {"smooth_l1_loss_backward", &lower_elementwise_loss_backward<kSmoothL1, 3, 4>},
      {"huber_loss", &lower_elementwise_loss<kHuber, 2, 3>},
      {"huber_loss_backward", &lower_elementwise_loss_backward<kHuber, 3, 4>},
      {"binary_cross_entropy", &lower_elementwise_loss<kCrossEntropy, 3, kNoArg, 2>},
      {"binary_cross_entropy_backward", &lower_elementwise_loss_backward<kCrossEntropy, 4, kNoArg, 3>},
      {"nll_loss_forward", &lower_nll_loss},
      {"nll_loss_backward", &lower_nll_loss_backward},
      {"nll_loss2d_forward", &lower_nll_loss},
      {"nll_loss2d_backward", &lower_nll_loss_backward},
  };
}

}  // namespace torch_hpu::compiler
