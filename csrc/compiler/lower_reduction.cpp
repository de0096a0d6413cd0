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

enum class Fold : uint8_t { kSum, kMean, kProd, kMax, kMin, kAny, kAll };

template <Fold fold, bool HasDims>
bool lower_fold(LoweringContext& c) {
  if (!reducible(c)) {
    return false;
  }
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, HasDims ? dims_of(c, 1) : std::vector<int64_t>{});
  LoopBuilder b(c, std::string(c.node.op->name.substr(6)), split.sizes(in), split.kept.size());
  E x = b.load(c.node.args[0].index, split.strides(in));
  switch (fold) {
    case Fold::kSum:
    case Fold::kMean: {
      const ScalarType dtype = sum_dtype(out.dtype);
      x = sum(cast(x, dtype));
      if (fold == Fold::kMean) {
        x = x / static_cast<double>(in.numel() / std::max<int64_t>(1, out.numel()));
      }
      break;
    }
    case Fold::kProd:
      x = prod(cast(x, sum_dtype(out.dtype)));
      break;
    case Fold::kMax:
      x = max_of(x);
      break;
    case Fold::kMin:
      x = min_of(x);
      break;
    case Fold::kAny:
      x = sum(truth(x));
      break;
    case Fold::kAll:
      x = prod(truth(x));
      break;
  }
  b.store(c.node.writes[0], split.result_strides(out), x);
  b.finish();
  return true;
}

template <Op op>
bool lower_arg(LoweringContext& c) {  // (self, dim?, keepdim)
  if (!reducible(c)) {
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
  if (!reducible(c) || c.window(0).sizes.empty()) {
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

// (self, dim?, correction?, keepdim)
template <bool Root, bool Mean>
bool lower_var(LoweringContext& c) {
  if (!reducible(c) || !c10::isFloatingType(c.window(0).dtype)) {
    return false;
  }
  const ir::Arg& given = c.node.args[2];
  const double correction = given.kind != ir::Arg::Kind::kConst ? 1
                            : given.value.isInt()               ? static_cast<double>(given.value.toInt())
                                                                : given.value.toDouble();
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, dims_of(c, 1));
  const double n = static_cast<double>(in.numel() / std::max<int64_t>(1, out.numel()));
  LoopBuilder b(c, Root ? "std" : "var", split.sizes(in), split.kept.size());
  const E x = b.load(c.node.args[0].index, split.strides(in));
  const E mean = sum(x) / n;
  const E difference = x - mean;
  E variance = sum(difference * difference) / std::max(0.0, n - correction);
  if (Root) {
    variance = sqrt(variance);
  }
  b.store(c.node.writes[0], split.result_strides(out), variance);
  if (Mean) {
    b.store(c.node.writes[1], split.result_strides(c.write(1)), mean);
  }
  b.finish();
  return true;
}

bool lower_vector_norm(LoweringContext& c) {  // (self, ord?, dim?, keepdim, dtype?)
  const bool given = c.node.args[1].kind == ir::Arg::Kind::kConst;
  if (!reducible(c) || !c10::isFloatingType(c.window(0).dtype) || (!given && !c.node.args[1].is_none())) {
    return false;
  }
  const double ord = !given                         ? 2
                     : c.node.args[1].value.isInt() ? static_cast<double>(c.node.args[1].value.toInt())
                                                    : c.node.args[1].value.toDouble();
  const ir::Window &in = c.window(0), &out = c.write(0);
  const Split split(in, dims_of(c, 2));
  LoopBuilder b(c, "vector_norm", split.sizes(in), split.kept.size());
  const E x = cast(b.load(c.node.args[0].index, split.strides(in)), compute_dtype(out.dtype));
  E norm;
  if (ord == 2) {
    norm = sqrt(sum(x * x));
  } else if (ord == 1) {
    norm = sum(abs(x));
  } else if (ord == std::numeric_limits<double>::infinity()) {
    norm = max_of(abs(x));
  } else if (ord == -std::numeric_limits<double>::infinity()) {
    norm = min_of(abs(x));
  } else {
    return false;
  }
  b.store(c.node.writes[0], split.result_strides(out), norm);
  b.finish();
  return true;
}

bool lower_logsumexp(LoweringContext& c) {  // (self, dim, keepdim)
  if (!reducible(c)) {
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
      {"any", &lower_fold<Fold::kAny, false>},
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
  };
}

}  // namespace torch_hpu::compiler
