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
  if (!loopable(c) || x.sizes != y.sizes) {
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

// Where the classes of a tensor of scores stand: [N, C, spatial...], or [C].
struct Scores {
  const ir::Window& x;
  size_t dim = x.sizes.size() == 1 ? 0 : 1;

  int64_t classes() const {
    return x.sizes[dim];
  }
  int64_t stride() const {
    return x.strides[dim];
  }
  // Sizes or strides of the scores without their classes.
  DimVector without(DimVector s) const {
    s.erase(s.begin() + static_cast<int64_t>(dim));
    return s;
  }
  // Strides of a tensor without classes over the space of the scores.
  DimVector with(DimVector s) const {
    s.insert(s.begin() + static_cast<int64_t>(dim), 0);
    return s;
  }
};

// (self, target, weight?, reduction, ignore_index) -> (output, total_weight)
bool lower_nll_loss(LoweringContext& c) {
  const ir::Window& x = c.window(0);
  if (!loopable(c) || x.sizes.empty() || (x.sizes.size() == 1 && !c.window(1).sizes.empty())) {
    return false;
  }
  const Scores scores{x};
  const int64_t reduction = c.node.args[3].value.toInt(), ignore = c.node.args[4].value.toInt();
  const ScalarType dtype = compute_dtype(x.dtype);
  const DimVector sizes = scores.without(x.sizes), none(sizes.size(), 0);
  LoopBuilder b(c, "nll_loss", sizes, reduction == kNoReduction ? sizes.size() : 0);
  const Target t = target_of(c, b, c.window(1).strides, 1, 2, ignore, scores.classes(), dtype);
  const E picked = b.load_at(c.node.args[0].index, scores.without(x.strides), t.index * static_cast<double>(scores.stride()));
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

// (grad_output, self, target, weight?, reduction, ignore_index, total_weight)
bool lower_nll_loss_backward(LoweringContext& c) {
  const ir::Window& x = c.window(1);
  if (!loopable(c) || x.sizes.empty() || (x.sizes.size() == 1 && !c.window(2).sizes.empty())) {
    return false;
  }
  const Scores scores{x};
  const int64_t reduction = c.node.args[4].value.toInt(), ignore = c.node.args[5].value.toInt();
  const ScalarType dtype = compute_dtype(x.dtype);
  LoopBuilder b(c, "nll_loss_backward", x.sizes, x.sizes.size());
  const DimVector none(x.sizes.size(), 0);
  const Target t = target_of(c, b, scores.with(c.window(2).strides), 2, 3, ignore, scores.classes(), dtype);
  const ir::Window& grad = c.window(0);
  E g = cast(b.load(c.node.args[0].index, grad.sizes.empty() ? none : scores.with(grad.strides)), dtype);
  if (reduction == kMean) {
    g = g / cast(b.load(c.node.args[6].index, none), dtype);
  }
  const E hit = equal(b.index(scores.dim), t.index) & t.counts;
  b.store(c.node.writes[0], where(hit, -(g * t.weight), b.constant(0, dtype)));
  b.finish();
  return true;
}

// What the hinge of one class of a row is made of: z = margin - x[target] + x[class], which counts where it is positive and the class is not the target's.
struct Hinge {
  E z, counts, weight, hit;
};

// Over the space [N, C] (or [C]) of the scores `x`; arguments target, p, margin and weight follow each other.
Hinge hinge_of(LoweringContext& c, LoopBuilder& b, size_t scores_arg, ScalarType dtype) {
  const ir::Window& x = c.window(scores_arg);
  const Scores scores{x};
  const size_t target = scores_arg + 1;
  DimVector target_strides(x.sizes.size() - 1, 0);  // of a target that may be a number
  if (!target_strides.empty() && !c.window(target).strides.empty()) {
    target_strides[0] = c.window(target).strides[0];
  }
  const Target t =
      target_of(c, b, scores.with(target_strides), target, scores_arg + 4, std::numeric_limits<int64_t>::min(), scores.classes(), dtype);
  const E picked =
      cast(b.load_at(c.node.args[scores_arg].index, scores.with(scores.without(x.strides)), t.index * static_cast<double>(scores.stride())),
           dtype);
  const E z = b.scalar(c.node.args[scores_arg + 3].index, dtype) - picked + cast(b.load(c.node.args[scores_arg].index, x.strides), dtype);
  const E hit = equal(b.index(scores.dim), t.index);
  return {z, (z > 0.0) & !hit, t.weight, hit};
}

// (self [N, C] or [C], target, p, margin, weight?, reduction)
bool lower_multi_margin_loss(LoweringContext& c) {
  const ir::Window& x = c.window(0);
  if (!loopable(c) || x.sizes.size() > 2) {
    return false;
  }
  const int64_t reduction = c.node.args[5].value.toInt();
  const size_t rank = x.sizes.size();
  const ScalarType dtype = compute_dtype(x.dtype);
  LoopBuilder b(c, "multi_margin_loss", x.sizes, reduction == kNoReduction ? rank - 1 : 0);
  const Hinge h = hinge_of(c, b, 0, dtype);
  const E power = c.node.args[2].value.toScalar().toDouble() == 1 ? h.z : h.z * h.z;
  const double count = static_cast<double>(reduction == kMean ? x.numel() : x.sizes.back());
  DimVector strides = c.write(0).strides;
  strides.resize(rank, 0);
  b.store(c.node.writes[0], strides, sum(where(h.counts, power * h.weight, b.constant(0, dtype))) / count);
  b.finish();
  return true;
}

// (grad_output, self, target, p, margin, weight?, reduction)
bool lower_multi_margin_loss_backward(LoweringContext& c) {
  const ir::Window& x = c.window(1);
  if (!loopable(c) || x.sizes.size() > 2) {
    return false;
  }
  const size_t rank = x.sizes.size();
  const ScalarType dtype = compute_dtype(x.dtype);
  LoopBuilder b(c, "multi_margin_loss_backward", x.sizes, rank - 1);
  const Hinge h = hinge_of(c, b, 1, dtype);
  const E slope = c.node.args[3].value.toScalar().toDouble() == 1 ? b.constant(1, dtype) : h.z * 2;
  const E each = where(h.counts, slope * h.weight, b.constant(0, dtype));
  const double count = static_cast<double>(c.node.args[6].value.toInt() == kMean ? x.numel() : x.sizes.back());
  DimVector grad_strides = c.window(0).strides;
  grad_strides.resize(rank, 0);
  const E g = cast(b.load(c.node.args[0].index, grad_strides), dtype) / count;
  b.store(c.node.writes[0], c.write(0).strides, where(h.hit, -sum(each), each) * g);
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
      {"multi_margin_loss", &lower_multi_margin_loss},
      {"multi_margin_loss_backward", &lower_multi_margin_loss_backward},
      {"nll_loss_forward", &lower_nll_loss},
      {"nll_loss_backward", &lower_nll_loss_backward},
      {"nll_loss2d_forward", &lower_nll_loss},
      {"nll_loss2d_backward", &lower_nll_loss_backward},
  };
}

}  // namespace torch_hpu::compiler
