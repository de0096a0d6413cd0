// Rules of reductions and softmax.
#include <ATen/WrapDimUtils.h>
#include <ATen/WrapDimUtilsMulti.h>

#include <c10/util/strides.h>

#include "csrc/ir/infer_metas.h"
#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {

void reduction(InferContext& c, Reduced kind, int dtype_arg) {
  const Window& w = c.window(0);
  const auto n = static_cast<int64_t>(w.sizes.size());
  std::vector<int64_t> dims;
  bool keepdim = false;
  if (c.args.size() > 1 && static_cast<int>(1) != dtype_arg && c.args[1].kind == Arg::Kind::kConst) {
    const c10::IValue& v = c.value(1);
    dims = v.isInt() ? std::vector<int64_t>{v.toInt()} : v.isIntList() ? v.toIntVector() : std::vector<int64_t>{};
  }
  if (c.args.size() > 2 && dtype_arg != 2 && c.args[2].kind == Arg::Kind::kConst && c.value(2).isBool()) {
    keepdim = c.value(2).toBool();
  }
  const auto mask = at::dim_list_to_bitset(dims, static_cast<size_t>(n));
  TensorMeta m;
  for (int64_t d = 0; d < n; ++d) {
    const bool reduced = dims.empty() || mask[static_cast<size_t>(d)];
    if (!reduced) {
      m.sizes.push_back(w.sizes[static_cast<size_t>(d)]);
    } else if (keepdim) {
      m.sizes.push_back(1);
    }
    if (reduced && (kind == Reduced::kSame || kind == Reduced::kLong)) {
      TORCH_CHECK_INDEX(w.sizes[static_cast<size_t>(d)] != 0, "[", c.op.name,
                        "] expected a dimension of size 1 or more to reduce, got size 0"
                        " in ",
                        c10::IntArrayRef(w.sizes));
    }
  }
  m.dtype = w.dtype;
  if (dtype_arg >= 0 && c.args[static_cast<size_t>(dtype_arg)].kind == Arg::Kind::kConst) {
    m.dtype = static_cast<c10::ScalarType>(c.value(static_cast<size_t>(dtype_arg)).toInt());
  } else if (kind == Reduced::kSum && c10::isIntegralType(w.dtype, true)) {
    m.dtype = c10::ScalarType::Long;
  } else if (kind == Reduced::kBool) {
    m.dtype = w.dtype == c10::ScalarType::Byte ? c10::ScalarType::Byte : c10::ScalarType::Bool;
  } else if (kind == Reduced::kLong) {
    m.dtype = c10::ScalarType::Long;
  }
  if (kind == Reduced::kMean) {
    TORCH_CHECK(c10::isFloatingType(m.dtype) || c10::isComplexType(m.dtype), "[", c.op.name, "] got dtype ", m.dtype,
                ", expected a floating point or complex dtype. Pass dtype= or convert the input.");
  }
  const auto s = c10::contiguous_strides(m.sizes);
  m.strides.assign(s.begin(), s.end());
  c.returns.push_back(m);
}

void var_correction(InferContext& c) {
  TensorMeta m;
  const Window& w = c.window(0);
  TORCH_CHECK(c10::isFloatingType(w.dtype) || c10::isComplexType(w.dtype), "[", c.op.name, "] got dtype ", w.dtype,
              ", expected a floating point dtype");
  const std::vector<int64_t> dims = c.args[1].kind == Arg::Kind::kConst ? c.value(1).toIntVector() : std::vector<int64_t>{};
  const bool keepdim = c.args[3].kind == Arg::Kind::kConst && c.value(3).toBool();
  const auto mask = at::dim_list_to_bitset(dims, w.sizes.size());
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    if (!(dims.empty() || mask[d])) {
      m.sizes.push_back(w.sizes[d]);
    } else if (keepdim) {
      m.sizes.push_back(1);
    }
  }
  c.returns.push_back(contiguous(c10::toRealValueType(w.dtype), m.sizes));
}

void var_mean_correction(InferContext& c) {
  var_correction(c);
  TensorMeta mean = c.returns[0];
  mean.dtype = c.window(0).dtype;
  c.returns.push_back(mean);
}

void vector_norm(InferContext& c) {  // (self, ord, dim?, keepdim, dtype?)
  const Window& w = c.window(0);
  const std::vector<int64_t> dims = c.args[2].kind == Arg::Kind::kConst ? c.value(2).toIntVector() : std::vector<int64_t>{};
  const bool keepdim = c.value(3).toBool();
  const auto mask = at::dim_list_to_bitset(dims, w.sizes.size());
  DimVector sizes;
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    if (!(dims.empty() || mask[d])) {
      sizes.push_back(w.sizes[d]);
    } else if (keepdim) {
      sizes.push_back(1);
    }
  }
  const c10::ScalarType dtype =
      c.args.size() > 4 && c.args[4].kind == Arg::Kind::kConst ? static_cast<c10::ScalarType>(c.value(4).toInt()) : w.dtype;
  TORCH_CHECK(c10::isFloatingType(dtype) || c10::isComplexType(dtype), "[", c.op.name, "] got dtype ", dtype,
              ", expected a floating point or complex dtype");
  c.returns.push_back(contiguous(c10::toRealValueType(dtype), sizes));
}

void values_and_indices(InferContext& c) {
  reduction(c, Reduced::kSame, -1);
  TensorMeta indices = c.returns[0];
  indices.dtype = c10::ScalarType::Long;
  c.returns.push_back(indices);
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
