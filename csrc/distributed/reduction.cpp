#include "csrc/distributed/reduction.h"

#include <ATen/ATen.h>

namespace torch_hpu::distributed {
namespace {

using c10d::ReduceOp;

const char* name_of(ReduceOp::RedOpType op) {
  constexpr const char* kNames[] = {"SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR", "PREMUL_SUM", "UNUSED"};
  return kNames[std::min<size_t>(op, std::size(kNames) - 1)];
}

bool is_bitwise(ReduceOp::RedOpType op) {
  return op == ReduceOp::BAND || op == ReduceOp::BOR || op == ReduceOp::BXOR;
}

bool is_linear(ReduceOp::RedOpType op) {
  return op == ReduceOp::SUM || op == ReduceOp::AVG || op == ReduceOp::PREMUL_SUM;
}

c10::ScalarType computed_as(c10::ScalarType dtype) {
  switch (dtype) {
    case at::kShort:
    case at::kUInt16:
      return at::kInt;
    case at::kUInt32:
      return at::kLong;
    default:
      return c10::isFloat8Type(dtype) ? at::kFloat : dtype;
  }
}

c10::ScalarType viewed_as(c10::ScalarType dtype) {
  return dtype == at::kBool ? at::kByte : c10::isComplexType(dtype) ? c10::toRealValueType(dtype) : dtype;
}

}  // namespace

bool is_dense(const at::Tensor& tensor) {
  return tensor.is_contiguous() && !tensor.is_conj() && !tensor.is_neg();
}

at::Tensor dense(const at::Tensor& tensor) {
  return is_dense(tensor) ? tensor : tensor.resolve_conj().resolve_neg().contiguous();
}

Reduction::Reduction(const std::string& collective, const ReduceOp& op, c10::ScalarType dtype)
    : dtype_(dtype), computed_(computed_as(dtype)), view_(viewed_as(computed_)), op_(op) {
  const ReduceOp::RedOpType type = op;
  TORCH_CHECK(type < ReduceOp::UNUSED, "[hccl] ", collective, ": the reduction is not set");
  const bool real_float = c10::isFloatingType(computed_);
  const bool known = real_float || c10::isComplexType(dtype) || dtype == at::kBool || dtype == at::kByte || dtype == at::kChar ||
                     computed_ == at::kInt || computed_ == at::kLong;
  TORCH_CHECK_TYPE(known, "[hccl] ", collective, ": tensors of dtype ", dtype, " cannot be reduced");
  TORCH_CHECK_TYPE(!(is_bitwise(type) && (real_float || c10::isComplexType(dtype))), "[hccl] ", collective, ": ", name_of(type),
                   " needs integers, got ", dtype);
  TORCH_CHECK_TYPE(!(c10::isComplexType(dtype) && !is_linear(type)), "[hccl] ", collective, ": ", name_of(type),
                   " is not defined for complex numbers, got ", dtype);
  TORCH_CHECK_TYPE(!(dtype == at::kBool && (type == ReduceOp::AVG || type == ReduceOp::PREMUL_SUM)), "[hccl] ", collective, ": ",
                   name_of(type), " is not defined for bool");
  ReduceOp::RedOpType engine = is_linear(type) ? ReduceOp::SUM : type;
  if (dtype == at::kBool) {
    engine = engine == ReduceOp::SUM ? ReduceOp::MAX : engine == ReduceOp::PRODUCT ? ReduceOp::MIN : engine;
  }
  engine_op_ = ReduceOp(engine);
}

at::Tensor Reduction::enter(const at::Tensor& tensor) const {
  at::Tensor values = tensor;
  if (op_.op_ == ReduceOp::PREMUL_SUM) {
    const auto* factor = dynamic_cast<const c10d::PreMulSumSupplement*>(op_.supplement_.get());
    TORCH_CHECK(factor != nullptr, "[hccl] PREMUL_SUM has no factor");
    values = factor->tensor_factor.defined() ? values.mul(factor->tensor_factor.to(values.device(), values.scalar_type()))
                                             : values.mul(factor->double_factor);
  }
  return dense(values.to(computed_));
}

void Reduction::leave(at::Tensor reduced, const at::Tensor& place, int ranks) const {
  if (op_.op_ == ReduceOp::AVG) {
    if (c10::isIntegralType(computed_, false)) {
      reduced.div_(ranks, "trunc");
    } else {
      reduced.div_(ranks);
    }
  }
  if (!reduced.is_same(place)) {
    place.copy_(reduced.view_as(place));
  }
}

}  // namespace torch_hpu::distributed
