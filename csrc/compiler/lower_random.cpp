// Random fills and dropout, on the node's stream of random numbers.
#include <cmath>
#include <limits>

#include "csrc/compiler/loop_builder.h"
#include "csrc/kernels/random.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::Op;

// Number or tensor argument `i`.
E operand(LoweringContext& c, LoopBuilder& b, size_t i, ScalarType dtype) {
  const ir::Arg& a = c.node.args[i];
  return a.kind == ir::Arg::Kind::kWindow ? cast(b.load(a.index), dtype) : b.scalar(a.index, dtype);
}

// Box-Muller over two uniform numbers.
E standard_normal(LoopBuilder& b, ScalarType dtype) {
  const E i = b.linear_index() * 2;
  const E u = b.uniform(i, dtype), v = b.uniform(i + 1, dtype);
  return sqrt(-2.0 * log(1.0 - u)) * unary(Op::kCos, v * (2 * M_PI));
}

bool lower_uniform(LoweringContext& c) {  // (self, from, to)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "uniform", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  const E low = b.scalar(c.node.args[1].index, dtype), high = b.scalar(c.node.args[2].index, dtype);
  b.store(c.node.writes[0], low + (high - low) * b.uniform(b.linear_index(), dtype));
  b.finish();
  return true;
}

template <size_t Mean>
bool lower_normal(LoweringContext& c) {  // (.., mean, std)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "normal", c.write(0).sizes, c.write(0).sizes.size());
  const ScalarType dtype = compute_dtype(c.write(0).dtype);
  b.store(c.node.writes[0], operand(c, b, Mean, dtype) + operand(c, b, Mean + 1, dtype) * standard_normal(b, dtype));
  b.finish();
  return true;
}

// Distributions by a formula of their numbers (arguments behind self), in double. `u`: uniform in [0, 1).
struct Distribution {
  const char* name;
  size_t numbers;
  E (*formula)(LoopBuilder& b, c10::ArrayRef<E> x);
};
E uniform_double(LoopBuilder& b) {
  return b.uniform(b.linear_index(), ScalarType::Double);
}
constexpr Distribution kExponential{"exponential", 1, [](LoopBuilder& b, c10::ArrayRef<E> x) { return -log1p(-uniform_double(b)) / x[0]; }};
constexpr Distribution kGeometric{"geometric", 1, [](LoopBuilder& b, c10::ArrayRef<E> x) {
                                    const E n = unary(Op::kCeil, log1p(-uniform_double(b)) / log1p(-x[0]));
                                    return maximum(n, b.constant(1, ScalarType::Double));
                                  }};
constexpr Distribution kCauchy{
    "cauchy", 2, [](LoopBuilder& b, c10::ArrayRef<E> x) { return x[0] + x[1] * unary(Op::kTan, (uniform_double(b) - 0.5) * M_PI); }};
constexpr Distribution kLogNormal{
    "log_normal", 2, [](LoopBuilder& b, c10::ArrayRef<E> x) { return exp(x[0] + x[1] * standard_normal(b, ScalarType::Double)); }};

template <const Distribution& distribution>
bool lower_distribution(LoweringContext& c) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, distribution.name, c.write(0).sizes, c.write(0).sizes.size());
  std::vector<E> numbers;
  for (size_t i = 0; i < distribution.numbers; ++i) {
    numbers.push_back(operand(c, b, 1 + i, ScalarType::Double));
  }
  b.store(c.node.writes[0], distribution.formula(b, numbers));
  b.finish();
  return true;
}

// ---- integers

bool store_integers(LoweringContext& c, int64_t from, uint64_t range) {
  if (!loopable(c) || range == 0 || range > uint64_t{1} << 63) {
    return false;  // only wider than half of all numbers
  }
  LoopBuilder b(c, "random", c.write(0).sizes, c.write(0).sizes.size());
  const E bits = b.random_bits(b.linear_index());
  const E below = range == uint64_t{1} << 63 ? bits & b.integer(std::numeric_limits<int64_t>::max())
                                             : binary(Op::kRemainder, bits, b.integer(static_cast<int64_t>(range)));
  b.store(c.node.writes[0], b.integer(from) + below);
  b.finish();
  return true;
}

bool lower_random(LoweringContext& c) {  // (self)
  return store_integers(c, 0, static_cast<uint64_t>(kernels::largest_random(c.write(0).dtype)) + 1);
}

bool lower_random_to(LoweringContext& c) {  // (self, to)
  return store_integers(c, 0, static_cast<uint64_t>(c.node.args[1].value.toInt()));
}

bool lower_random_from(LoweringContext& c) {  // (self, from, to?)
  const int64_t from = c.node.args[1].value.toInt();
  const uint64_t end = c.node.args[2].is_none() ? static_cast<uint64_t>(kernels::largest_random(c.write(0).dtype)) + 1
                                                : static_cast<uint64_t>(c.node.args[2].value.toInt());
  return store_integers(c, from, end - static_cast<uint64_t>(from));
}

bool lower_bernoulli(LoweringContext& c) {  // (self, p)
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "bernoulli", c.write(0).sizes, c.write(0).sizes.size());
  b.store(c.node.writes[0], b.uniform(b.linear_index(), ScalarType::Float) < b.scalar(c.node.args[1].index, ScalarType::Float));
  b.finish();
  return true;
}

template <size_t Probability>
bool lower_bernoulli_by(LoweringContext& c) {  // (probabilities), (self, probabilities)
  const ScalarType dtype = compute_dtype(c.window(Probability).dtype);
  if (!loopable(c) || !c10::isFloatingType(dtype)) {
    return false;
  }
  LoopBuilder b(c, "bernoulli", c.write(0).sizes, c.write(0).sizes.size());
  b.store(c.node.writes[0], cast(b.uniform(b.linear_index(), ScalarType::Float), dtype) < b.load(c.node.args[Probability].index));
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
  const E mask = b.uniform(b.linear_index(), ScalarType::Float) < cast(keep, ScalarType::Float);
  const E scale = where(keep > 0.0, 1.0 / keep, b.constant(0, ScalarType::Double));
  b.store(c.node.writes[0], b.load(c.node.args[0].index) * cast(mask, dtype) * cast(scale, dtype));
  b.store(c.node.writes[1], mask);
  b.finish();
  return true;
}

}  // namespace

std::vector<LoweringRow> random_lowerings() {
  return {
      {"uniform", &lower_uniform},
      {"normal_functional", &lower_normal<1>},
      {"normal.Tensor_float", &lower_normal<0>},
      {"normal.float_Tensor", &lower_normal<0>},
      {"normal.Tensor_Tensor", &lower_normal<0>},
      {"bernoulli.p", &lower_bernoulli},
      {"bernoulli", &lower_bernoulli_by<0>},
      {"bernoulli.Tensor", &lower_bernoulli_by<1>},
      {"exponential", &lower_distribution<kExponential>},
      {"geometric", &lower_distribution<kGeometric>},
      {"cauchy", &lower_distribution<kCauchy>},
      {"log_normal", &lower_distribution<kLogNormal>},
      {"random", &lower_random},
      {"random.to", &lower_random_to},
      {"random.from", &lower_random_from},
      {"native_dropout", &lower_dropout},
  };
}

}  // namespace torch_hpu::compiler
