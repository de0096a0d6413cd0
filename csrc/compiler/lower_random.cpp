// Random fills and dropout, on the node's stream of random numbers.
#include <cmath>

#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::Op;

// The element's place in logical order: what random streams are numbered by.
E linear_index(LoopBuilder& b) {
  E linear = b.constant(0, ScalarType::Long);
  for (size_t d = 0; d < b.sizes().size(); ++d) {
    linear = linear * static_cast<double>(b.sizes()[d]) + b.index(d);
  }
  return linear;
}

bool lower_uniform(LoweringContext& c) {  // (self, from, to)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "uniform", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  const E low = b.scalar(c.node.args[1].index, dtype), high = b.scalar(c.node.args[2].index, dtype);
  b.store(c.node.writes[0], low + (high - low) * b.uniform(linear_index(b), dtype));
  b.finish();
  return true;
}

bool lower_normal(LoweringContext& c) {  // (self, mean, std)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "normal", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  const E i = linear_index(b) * 2;
  const E u = b.uniform(i, dtype), v = b.uniform(i + 1, dtype);
  const E radius = sqrt(-2.0 * log(1.0 - u));
  const E normal = radius * unary(Op::kCos, v * (2 * M_PI));
  b.store(c.node.writes[0], b.scalar(c.node.args[1].index, dtype) + b.scalar(c.node.args[2].index, dtype) * normal);
  b.finish();
  return true;
}

bool lower_bernoulli(LoweringContext& c) {  // (self, p)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "bernoulli", c.write(0).sizes, c.write(0).sizes.size());
  b.store(c.node.writes[0], b.uniform(linear_index(b), ScalarType::Float) < b.scalar(c.node.args[1].index, ScalarType::Float));
  b.finish();
  return true;
}

bool lower_bernoulli_self(LoweringContext& c) {  // (probabilities)
  if (!loopable(c) || !c10::isFloatingType(c.window(0).dtype)) {
    return false;
  }
  LoopBuilder b(c, "bernoulli", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.window(0).dtype);
  b.store(c.node.writes[0], cast(b.uniform(linear_index(b), ScalarType::Float), dtype) < b.load(c.node.args[0].index));
  b.finish();
  return true;
}

bool lower_dropout(LoweringContext& c) {  // (input, p, train) -> (out, mask)
  if (!loopable(c) || !c10::isFloatingType(c.window(0).dtype)) {
    return false;
  }
  LoopBuilder b(c, "dropout", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.window(0).dtype);
  const E keep = 1.0 - b.scalar(c.node.args[1].index, ScalarType::Double);
  const E mask = b.uniform(linear_index(b), ScalarType::Float) < cast(keep, ScalarType::Float);
  const E scale = where(keep > 0.0, 1.0 / keep, b.constant(0, ScalarType::Double));
  b.store(c.node.writes[0], b.load(c.node.args[0].index) * cast(mask, dtype) * cast(scale, dtype));
  b.store(c.node.writes[1], mask);
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> random_lowerings() {
  return {{"uniform", &lower_uniform},
          {"normal_functional", &lower_normal},
          {"bernoulli.p", &lower_bernoulli},
          {"bernoulli", &lower_bernoulli_self},
          {"native_dropout", &lower_dropout}};
}

}  // namespace torch_hpu::compiler
