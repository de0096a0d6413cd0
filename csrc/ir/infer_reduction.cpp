// Rules of reductions, scans and softmax.
#include <ATen/WrapDimUtils.h>
#include <ATen/WrapDimUtilsMulti.h>

#include <c10/core/DefaultDtype.h>

#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

namespace {

// The dims that argument `arg` names: an int, a list, or none.
std::vector<int64_t> dims_of(InferContext& c, size_t arg) {
  if (arg >= c.args.size() || c.args[arg].kind != Arg::Kind::kConst) {
    return {};
  }
  const c10::IValue& v = c.value(arg);
  return v.isInt() ? std::vector<int64_t>{v.toInt()} : v.isIntList() ? v.toIntVector() : std::vector<int64_t>{};
}

bool flag(InferContext& c, size_t arg) {
  return arg < c.args.size() && c.args[arg].kind == Arg::Kind::kConst && c.value(arg).isBool() && c.value(arg).toBool();
}

std::optional<c10::ScalarType> dtype_of(InferContext& c, int arg) {
  if (arg < 0 || static_cast<size_t>(arg) >= c.args.size() || c.args[static_cast<size_t>(arg)].kind != Arg::Kind::kConst) {
    return std::nullopt;
  }
  return static_cast<c10::ScalarType>(c.value(static_cast<size_t>(arg)).toInt());
}

// The sizes of self without `dims` (none: all of them), or with ones in their place. Extremes of nothing are an error.
DimVector reduced_sizes(InferContext& c, const std::vector<int64_t>& dims, bool keepdim, bool of_nothing = true) {
  const Window& w = c.window(0);
  const auto mask = at::dim_list_to_bitset(dims, w.sizes.size());
  DimVector sizes;
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    if (!(dims.empty() || mask[d])) {
      sizes.push_back(w.sizes[d]);
      continue;
    }
    TORCH_CHECK_INDEX(of_nothing || w.sizes[d] != 0, "[", c.op.name, "] expected a dimension of size 1 or more to reduce, got size 0 in ",
                      c10::IntArrayRef(w.sizes));
    if (keepdim) {
      sizes.push_back(1);
    }
  }
  return sizes;
}

void check_real_or_complex(InferContext& c, c10::ScalarType dtype) {
  TORCH_CHECK(c10::isFloatingType(dtype) || c10::isComplexType(dtype), "[", c.op.name, "] got dtype ", dtype,
              ", expected a floating point or complex dtype. Pass dtype= or convert the input.");
}

}  // namespace

void reduction(InferContext& c, Reduced kind, int dtype_arg) {
  const Window& w = c.window(0);
  const bool extreme = kind == Reduced::kSame || kind == Reduced::kLong;
  const DimVector sizes = reduced_sizes(c, dtype_arg == 1 ? std::vector<int64_t>{} : dims_of(c, 1), dtype_arg != 2 && flag(c, 2), !extreme);
  c10::ScalarType dtype = w.dtype;
  if (const auto given = dtype_of(c, dtype_arg)) {
    dtype = *given;
  } else if (kind == Reduced::kSum && c10::isIntegralType(w.dtype, true)) {
    dtype = c10::ScalarType::Long;
  } else if (kind == Reduced::kFloat && c10::isIntegralType(w.dtype, true)) {
    dtype = c10::get_default_dtype_as_scalartype();
  } else if (kind == Reduced::kBool) {
    dtype = w.dtype == c10::ScalarType::Byte ? c10::ScalarType::Byte : c10::ScalarType::Bool;
  } else if (kind == Reduced::kLong) {
    dtype = c10::ScalarType::Long;
  }
  if (kind == Reduced::kMean) {
    check_real_or_complex(c, dtype);
  }
  c.returns.push_back(contiguous(dtype, sizes));
}

void any_all_dims(InferContext& c) {  // (self, dim?, keepdim): an empty list reduces nothing
  if (c.args[1].kind == Arg::Kind::kConst && c.value(1).toIntVector().empty()) {
    c.returns.push_back(
        contiguous(c.window(0).dtype == c10::ScalarType::Byte ? c10::ScalarType::Byte : c10::ScalarType::Bool, c.window(0).sizes));
    return;
  }
  reduction(c, Reduced::kBool, -1);
}

void var_correction(InferContext& c) {  // (self, dim?, correction?, keepdim)
  check_real_or_complex(c, c.window(0).dtype);
  c.returns.push_back(contiguous(c10::toRealValueType(c.window(0).dtype), reduced_sizes(c, dims_of(c, 1), flag(c, 3))));
}

void var_mean_correction(InferContext& c) {
  var_correction(c);
  TensorMeta mean = c.returns[0];
  mean.dtype = c.window(0).dtype;
  c.returns.push_back(mean);
}

void vector_norm(InferContext& c) {  // (self, ord, dim?, keepdim, dtype?)
  const c10::ScalarType dtype = dtype_of(c, 4).value_or(c.window(0).dtype);
  check_real_or_complex(c, dtype);
  c.returns.push_back(contiguous(c10::toRealValueType(dtype), reduced_sizes(c, dims_of(c, 2), flag(c, 3))));
}

void values_and_indices(InferContext& c) {  // (self, dim, keepdim)
  reduction(c, Reduced::kSame, -1);
  TensorMeta indices = c.returns[0];
  indices.dtype = c10::ScalarType::Long;
  c.returns.push_back(indices);
}

void both_extremes(InferContext& c) {  // (self, dim?, keepdim)
  reduction(c, Reduced::kSame, -1);
  c.returns.push_back(c.returns[0]);
}

void count_nonzero(InferContext& c) {  // (self, dims)
  c.returns.push_back(contiguous(c10::ScalarType::Long, reduced_sizes(c, dims_of(c, 1), false)));
}

void renorm(InferContext& c) {  // (self, p, dim, maxnorm)
  const Window& w = c.window(0);
  check_real_or_complex(c, w.dtype);
  TORCH_CHECK(w.sizes.size() > 1, "[", c.op.name, "] got an input of ", w.sizes.size(), " dims, expected 2 or more");
  at::maybe_wrap_dim(c.value(2).toInt(), static_cast<int64_t>(w.sizes.size()));
  c.returns.push_back(contiguous(w.dtype, w.sizes));
}

void cumulative(InferContext& c) {  // (self, dim, dtype?)
  const Window& w = c.window(0);
  at::maybe_wrap_dim(c.value(1).toInt(), static_cast<int64_t>(w.sizes.size()));
  c.returns.push_back(contiguous(dtype_of(c, 2).value_or(c10::isIntegralType(w.dtype, true) ? c10::ScalarType::Long : w.dtype), w.sizes));
}

void cumulative_extreme(InferContext& c) {  // (self, dim)
  const Window& w = c.window(0);
  at::maybe_wrap_dim(c.value(1).toInt(), static_cast<int64_t>(w.sizes.size()));
  c.returns.push_back(contiguous(w.dtype, w.sizes));
  c.returns.push_back(contiguous(c10::ScalarType::Long, w.sizes));
}

void cumulative_logsumexp(InferContext& c) {  // (self, dim)
  check_real_or_complex(c, c.window(0).dtype);
  cumulative(c);
}

void softmax(InferContext& c) {  // (self, dim, half_to_float)
  const Window& w = c.window(0);
  at::maybe_wrap_dim(c.value(1).toInt(), static_cast<int64_t>(w.sizes.size()));
  TORCH_CHECK(c10::isFloatingType(w.dtype), "[", c.op.name, "] got dtype ", w.dtype, ", expected a floating point dtype");
  TORCH_CHECK(!c.value(2).toBool(), "[", c.op.name, "] half to float conversion is not supported on hpu");
  c.returns.push_back(contiguous(w.dtype, w.sizes));
}

void softmax_backward(InferContext& c) {  // (grad_output, output, dim, input_dtype)
  const Window& g = c.window(0);
  c.returns.push_back(contiguous(static_cast<c10::ScalarType>(c.value(3).toInt()), g.sizes));
}

}  // namespace torch_hpu::ir::rules
