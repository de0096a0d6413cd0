// Reductions: sums, extremes, moments, norms.
#include <cmath>

#include "csrc/compiler/reduction.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::Op;

// How values are summed: half precisions in float, integers in 64 bits.
ScalarType sum_dtype(ScalarType memory) {
  return c10::isIntegralType(memory, true) ? ScalarType::Long : compute_dtype(memory);
}

enum class Fold : uint8_t { kSum, kMean, kProd, kMax, kMin, kAny, kAll, kNanSum, kCountNonzero };

// `x` folded, for a result of `dtype` in memory.
template <Fold fold>
E folded(E x, ScalarType dtype) {
  // ATen converts to the result's dtype first: only then does overflow agree.
  const auto summand = [&](E v) { return dtype == ScalarType::Bool ? truth(v) : cast(cast(v, compute_dtype(dtype)), sum_dtype(dtype)); };
  switch (fold) {
    case Fold::kSum:
    case Fold::kMean:
      return sum(summand(x));
    case Fold::kNanSum:
      return sum(summand(c10::isFloatingType(x.dtype()) ? where(equal(x, x), x, x.builder->constant(0, x.dtype())) : x));
    case Fold::kCountNonzero:
      return sum(cast(truth(x), ScalarType::Long));
    case Fold::kProd:
      return prod(summand(x));
    case Fold::kMax:
      return max_of(x);
    case Fold::kMin:
      return min_of(x);
    case Fold::kAny:
      return sum(truth(x));
    case Fold::kAll:
      return prod(truth(x));
  }
}

template <Fold fold, bool HasDims>
bool lower_fold(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, HasDims ? dims_of(c, 1) : std::vector<int64_t>{});
  LoopBuilder b(c, std::string(c.node.op->name.substr(6)), split.sizes(in), split.kept.size());
  E x = folded<fold>(b.load(c.node.args[0].index, split.strides(in)), out.dtype);
  if (fold == Fold::kMean) {
    x = x / static_cast<double>(in.numel() / std::max<int64_t>(1, out.numel()));
  }
  b.store(c.node.writes[0], split.result_strides(out), x);
  b.finish();
  return true;
}

template <Fold fold>
bool lower_fold_dims(LoweringContext& c) {  // (self, dim?, keepdim): an empty list reduces nothing
  const ir::Arg& dims = c.node.args[1];
  if (dims.kind != ir::Arg::Kind::kConst || !dims.value.toIntVector().empty()) {
    return lower_fold<fold, true>(c);
  }
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "truth", c.write(0).sizes, c.write(0).sizes.size());
  b.store(c.node.writes[0], truth(b.load(c.node.args[0].index)));
  b.finish();
  return true;
}

bool lower_both_extremes(LoweringContext& c) {  // (self, dim?, keepdim) -> (min, max)
  if (!loopable(c)) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const Split split(in, dims_of(c, 1));
  LoopBuilder b(c, "aminmax", split.sizes(in), split.kept.size());
  const E x = b.load(c.node.args[0].index, split.strides(in));
  b.store(c.node.writes[0], split.result_strides(c.write(0)), min_of(x));
  b.store(c.node.writes[1], split.result_strides(c.write(1)), max_of(x));
  b.finish();
  return true;
}

template <Op op>
bool lower_arg(LoweringContext& c) {  // (self, dim?, keepdim)
  if (!loopable(c)) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const Split split(in, dims_of(c, 1));
  LoopBuilder b(c, std::string(c.node.op->name.substr(6)), split.sizes(in), split.kept.size());
  const E x = b.load(c.node.args[0].index, split.strides(in));
  b.store(c.node.writes[0], split.result_strides(c.write(0)), b.make(op, ScalarType::Long, x));
  b.finish();
  return true;
}

template <Op fold, Op arg>
bool lower_values_and_indices(LoweringContext& c) {  // (self, dim, keepdim)
  if (!loopable(c)) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const Split split(in, dims_of(c, 1));
  LoopBuilder b(c, std::string(c.node.op->name.substr(6)), split.sizes(in), split.kept.size());
  const E x = b.load(c.node.args[0].index, split.strides(in));
  b.store(c.node.writes[0], split.result_strides(c.write(0)), unary(fold, x));
  b.store(c.node.writes[1], split.result_strides(c.write(1)), b.make(arg, ScalarType::Long, x));
  b.finish();
  return true;
}

// (self, dim?, correction?, keepdim). In double, as ATen: squares of floats then neither overflow nor vanish.
template <bool Root, bool Mean>
bool lower_var(LoweringContext& c) {
  if (!loopable(c) || !c10::isFloatingType(c.window(0).dtype)) {
    return false;
  }
  const ir::Arg& given = c.node.args[2];
  const double correction = given.kind == ir::Arg::Kind::kConst ? given.value.toScalar().toDouble() : 1;
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, dims_of(c, 1));
  const double n = static_cast<double>(in.numel() / std::max<int64_t>(1, out.numel()));
  LoopBuilder b(c, Root ? "std" : "var", split.sizes(in), split.kept.size());
  const E x = cast(b.load(c.node.args[0].index, split.strides(in)), ScalarType::Double);
  const E mean = sum(x) / n;
  const E difference = x - mean;
  const E variance = sum(difference * difference) / std::max(0.0, n - correction);
  b.store(c.node.writes[0], split.result_strides(out), Root ? sqrt(variance) : variance);
  if (Mean) {
    b.store(c.node.writes[1], split.result_strides(c.write(1)), mean);
  }
  b.finish();
  return true;
}

// The p-norm of |x| over the reduced dims.
E norm_of(E x, double p) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (p == infinity) {
    return max_of(abs(x));
  }
  if (p == -infinity) {
    return min_of(abs(x));
  }
  if (p == 0) {
    return sum(cast(truth(x), x.dtype()));
  }
  if (p == 1) {
    return sum(abs(x));
  }
  if (p == 2) {
    return sqrt(sum(x * x));
  }
  LoopBuilder& b = *x.builder;
  return pow(sum(pow(abs(x), b.constant(p, x.dtype()))), b.constant(1 / p, x.dtype()));
}

bool lower_vector_norm(LoweringContext& c) {  // (self, ord?, dim?, keepdim, dtype?)
  const ir::Arg& ord = c.node.args[1];
  const double p = ord.kind == ir::Arg::Kind::kConst ? ord.value.toScalar().toDouble() : 2;
  const ir::Window &in = c.window(0), &out = c.write(0);
  if (!loopable(c) || !c10::isFloatingType(in.dtype) || (in.numel() == 0 && (p < 0 || std::isinf(p)))) {
    return false;
  }
  const Split split(in, dims_of(c, 2));
  LoopBuilder b(c, "vector_norm", split.sizes(in), split.kept.size());
  const E x = cast(b.load(c.node.args[0].index, split.strides(in)), compute_dtype(out.dtype));
  b.store(c.node.writes[0], split.result_strides(out), norm_of(x, p));
  b.finish();
  return true;
}

// (self, p, dim, maxnorm): slices along `dim` whose norm is too large are scaled down to it.
bool lower_renorm(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  const ir::Window& in = c.window(0);
  const Split split = Split::all_but(in, c.node.args[2].value.toInt());
  LoopBuilder b(c, "renorm", split.sizes(in), 1);
  const E x = cast(b.load(c.node.args[0].index, split.strides(in)), ScalarType::Double);
  const E norm = norm_of(x, c.node.args[1].value.toScalar().toDouble()), limit = b.scalar(c.node.args[3].index, ScalarType::Double);
  const E factor = where(norm > limit, limit / (norm + 1e-7), b.constant(1, ScalarType::Double));
  const ScalarType dtype = compute_dtype(in.dtype);
  b.store(c.node.writes[0], split.strides(c.write(0)), cast(x, dtype) * cast(factor, dtype));
  b.finish();
  return true;
}

bool lower_logsumexp(LoweringContext& c) {  // (self, dim, keepdim)
  if (!loopable(c)) {
    return false;
  }
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, dims_of(c, 1));
  LoopBuilder b(c, "logsumexp", split.sizes(in), split.kept.size());
  const ScalarType dtype = compute_dtype(out.dtype);
  const E x = cast(b.load(c.node.args[0].index, split.strides(in)), dtype);
  const E peak = max_of(x);
  const E shift = where(equal(abs(peak), b.constant(std::numeric_limits<double>::infinity(), dtype)), b.constant(0, dtype), peak);
  b.store(c.node.writes[0], split.result_strides(out), log(sum(exp(x - shift))) + shift);
  b.finish();
  return true;
}
}  // namespace

std::vector<LoweringRow> reduction_lowerings() {
  return {
      {"sum", &lower_fold<Fold::kSum, false>},
      {"sum.dim_IntList", &lower_fold<Fold::kSum, true>},
      {"mean", &lower_fold<Fold::kMean, false>},
      {"mean.dim", &lower_fold<Fold::kMean, true>},
      {"prod", &lower_fold<Fold::kProd, false>},
      {"prod.dim_int", &lower_fold<Fold::kProd, true>},
      {"amax", &lower_fold<Fold::kMax, true>},
      {"amin", &lower_fold<Fold::kMin, true>},
      {"max", &lower_fold<Fold::kMax, false>},
      {"min", &lower_fold<Fold::kMin, false>},
      {"nansum", &lower_fold<Fold::kNanSum, true>},
      {"count_nonzero.dim_IntList", &lower_fold<Fold::kCountNonzero, true>},
      {"aminmax", &lower_both_extremes},
      {"_aminmax", &lower_both_extremes},
      {"_aminmax.dim", &lower_both_extremes},
      {"any", &lower_fold<Fold::kAny, false>},
      {"any.dims", &lower_fold_dims<Fold::kAny>},
      {"all.dims", &lower_fold_dims<Fold::kAll>},
      {"any.dim", &lower_fold<Fold::kAny, true>},
      {"all", &lower_fold<Fold::kAll, false>},
      {"all.dim", &lower_fold<Fold::kAll, true>},
      {"argmax", &lower_arg<Op::kReduceArgMax>},
      {"argmin", &lower_arg<Op::kReduceArgMin>},
      {"max.dim", &lower_values_and_indices<Op::kReduceMax, Op::kReduceArgMax>},
      {"min.dim", &lower_values_and_indices<Op::kReduceMin, Op::kReduceArgMin>},
      {"var.correction", &lower_var<false, false>},
      {"std.correction", &lower_var<true, false>},
      {"var_mean.correction", &lower_var<false, true>},
      {"std_mean.correction", &lower_var<true, true>},
      {"logsumexp", &lower_logsumexp},
      {"linalg_vector_norm", &lower_vector_norm},
      {"norm.ScalarOpt_dim", &lower_vector_norm},
      {"norm.ScalarOpt_dim_dtype", &lower_vector_norm},
      {"renorm", &lower_renorm},
  };
}

}  // namespace torch_hpu::compiler
