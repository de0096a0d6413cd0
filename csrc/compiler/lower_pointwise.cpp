// Pointwise ops: how arguments are loaded, in which dtype an op computes; the formulas are the rows of pointwise_*.cpp.
#include <c10/core/DefaultDtype.h>

#include <unordered_map>

#include "csrc/compiler/pointwise.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using pointwise::Args;
using pointwise::Kind;
using pointwise::Row;

ScalarType dtype_of(const LoweringContext& c, const Row& row) {
  if (row.kind == Kind::kFirst) {
    return compute_dtype(c.window(0).dtype);
  }
  Promotion promotion;
  for (size_t i = 0; i < c.node.args.size(); ++i) {
    const ir::Arg& a = c.node.args[i];
    if (a.kind == ir::Arg::Kind::kWindow) {
      promotion.tensor(c.window(i).dtype, !c.window(i).sizes.empty(), a.wrapped);
    } else if (a.kind == ir::Arg::Kind::kScalarTensor) {
      promotion.tensor(a.dtype, false, a.wrapped);
    } else if (a.kind == ir::Arg::Kind::kScalar && (row.scalars >> i & 1)) {
      promotion.scalar(c.graph.scalars[a.index].category);
    } else if (a.kind == ir::Arg::Kind::kConst && (row.scalars >> i & 1)) {
      promotion.scalar(a.value.isBool()  ? ir::ScalarCategory::kBool
                       : a.value.isInt() ? ir::ScalarCategory::kInt
                                         : ir::ScalarCategory::kFloat);
    }
  }
  ScalarType dtype = promotion.result();
  if (row.kind == Kind::kFloat && c10::isIntegralType(dtype, true)) {
    dtype = c10::get_default_dtype_as_scalartype();
  }
  return compute_dtype(dtype);
}

const std::unordered_map<std::string_view, Row>& rows() {
  static const auto* all = [] {
    auto* map = new std::unordered_map<std::string_view, Row>;
    for (const auto& family : {pointwise::arithmetic_rows(), pointwise::function_rows(), pointwise::activation_rows()}) {
      for (const Row& row : family) {
        map->emplace(row.name, row);
      }
    }
    map->emplace("clone", Row{"clone", Kind::kFirst, 0, [](const Args& a) { return a[0]; }});
    return map;
  }();
  return *all;
}

std::string_view local_name(const LoweringContext& c) {
  return std::string_view(c.node.op->name).substr(6);  // without "aten::"
}

bool lower_row(LoweringContext& c) {
  const Row& row = rows().at(local_name(c));
  if (c.node.writes.size() != 1 || !loopable(c)) {
    return false;
  }
  LoopBuilder b(c, row.name, c.write(0).sizes, c.write(0).sizes.size());
  Args args{c, b, {}, dtype_of(c, row)};
  for (size_t i = 0; i < c.node.args.size(); ++i) {
    const ir::Arg& a = c.node.args[i];
    E x;
    switch (a.kind) {
      case ir::Arg::Kind::kWindow:
        x = row.kind == Kind::kFirst && c.window(i).dtype == ScalarType::Bool ? b.load(a.index) : cast(b.load(a.index), args.dtype);
        break;
      case ir::Arg::Kind::kScalarTensor:
      case ir::Arg::Kind::kScalar:
        x = b.scalar(a.index, args.dtype);
        break;
      case ir::Arg::Kind::kConst:
        if (a.value.isInt() || a.value.isDouble() || a.value.isBool()) {
          x = b.constant(a.value.isInt()    ? static_cast<double>(a.value.toInt())
                         : a.value.isBool() ? a.value.toBool()
                                            : a.value.toDouble(),
                         args.dtype);
        }
        break;
      default:
        break;
    }
    args.x.push_back(x);
  }
  b.store(c.node.writes[0], row.formula(args));
  return b.finish_if_defined();
}

// where(condition, x, y): the condition takes no part in the dtype.
bool lower_where(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "where", c.write(0).sizes, c.write(0).sizes.size());
  Promotion promotion;
  for (size_t i : {size_t{1}, size_t{2}}) {
    const ir::Arg& a = c.node.args[i];
    a.kind == ir::Arg::Kind::kWindow ? promotion.tensor(c.window(i).dtype, !c.window(i).sizes.empty(), a.wrapped)
                                     : promotion.tensor(a.dtype, false, a.wrapped);
  }
  const ScalarType dtype = compute_dtype(promotion.result());
  auto value = [&](size_t i) {
    const ir::Arg& a = c.node.args[i];
    return a.kind == ir::Arg::Kind::kWindow ? cast(b.load(a.index), dtype) : b.scalar(a.index, dtype);
  };
  const ir::Arg& condition = c.node.args[0];
  const E chosen = condition.kind == ir::Arg::Kind::kWindow ? b.load(condition.index) : b.scalar(condition.index, ScalarType::Bool);
  b.store(c.node.writes[0], where(chosen, value(1), value(2)));
  b.finish();
  return true;
}

// Argument 0 of fills and of copy gives the shape only.
bool lower_copy(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "copy", c.write(0).sizes, c.write(0).sizes.size());
  const ir::Arg& source = c.node.args[1];
  const E x = source.kind == ir::Arg::Kind::kWindow ? b.load(source.index) : b.scalar(source.index, compute_dtype(source.dtype));
  b.store(c.node.writes[0], x);
  b.finish();
  return true;
}

bool lower_fill(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "fill", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  E value = b.constant(0, dtype);
  if (c.node.args.size() > 1) {
    const ir::Arg& a = c.node.args[1];
    if (a.kind == ir::Arg::Kind::kWindow) {
      value = cast(b.load(a.index), dtype);
    } else if (a.kind == ir::Arg::Kind::kScalar || a.kind == ir::Arg::Kind::kScalarTensor) {
      value = b.scalar(a.index, dtype);
    } else {
      return false;
    }
  }
  b.store(c.node.writes[0], value);
  b.finish();
  return true;
}

// Rounding division; without a mode it is true division, which promotes otherwise.
bool lower_divide_mode(LoweringContext& c) {
  return !c.node.args[2].is_none() && lower_row(c);
}

bool lower_frexp(LoweringContext& c) {  // (self) -> (mantissa, exponent)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "frexp", c.write(0).sizes, c.write(0).sizes.size());
  const E x = b.load(c.node.args[0].index);
  b.store(c.node.writes[0], unary(codegen::Op::kFrexpMantissa, x));
  b.store(c.node.writes[1], unary(codegen::Op::kFrexpExponent, x));
  b.finish();
  return true;
}

bool lower_log_sigmoid(LoweringContext& c) {  // (self) -> (output, buffer)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "log_sigmoid", c.write(0).sizes, c.write(0).sizes.size());
  const E x = b.load(c.node.args[0].index);
  const E z = exp(-abs(x));
  b.store(c.node.writes[0], minimum(x, b.constant(0, x.dtype())) - log1p(z));
  b.store(c.node.writes[1], z);
  b.finish();
  return true;
}

bool lower_prelu_backward(LoweringContext& c) {  // (grad_output, self, weight) -> (grad_self, grad_weight before it is summed)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "prelu_backward", c.write(0).sizes, c.write(0).sizes.size());
  const E g = b.load(c.node.args[0].index), x = b.load(c.node.args[1].index), w = b.load(c.node.args[2].index);
  b.store(c.node.writes[0], where(x > 0.0, g, w * g));
  b.store(c.node.writes[1], where(x > 0.0, b.constant(0, x.dtype()), x * g));
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> pointwise_lowerings() {
  std::vector<LoweringRow> lowerings{{"where.self", &lower_where},
                                     {"copy", &lower_copy},
                                     {"fill.Scalar", &lower_fill},
                                     {"fill.Tensor", &lower_fill},
                                     {"zero", &lower_fill},
                                     {"div.Tensor_mode", &lower_divide_mode},
                                     {"frexp.Tensor", &lower_frexp},
                                     {"log_sigmoid_forward", &lower_log_sigmoid},
                                     {"_prelu_kernel_backward", &lower_prelu_backward}};
  for (const auto& [name, row] : rows()) {
    lowerings.push_back({name, &lower_row});
  }
  return lowerings;
}

}  // namespace torch_hpu::compiler
