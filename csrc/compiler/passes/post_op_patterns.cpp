#include "csrc/compiler/passes/post_op_patterns.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "csrc/codegen/op_traits.h"

namespace torch_hpu::compiler {
namespace {

using codegen::Expr;
using codegen::ExprId;
using codegen::kNoExpr;
using codegen::Loop;
using codegen::Op;
using Kind = kernels::PostOp::Kind;

// An expression in prefix form, as lowering and the simplify pass leave it: names of loop ops, numbers, x (what the post-op is applied to: the same
// expression wherever it stands), y (an operand that does not depend on the raw result).
struct Pattern {
  Kind kind;
  const char* expression;
  bool negated = false;  // the operand is -y
};

const Pattern kPatterns[] = {
    {Kind::kRelu, "max x 0"},
    {Kind::kTanh, "tanh x"},
    {Kind::kSigmoid, "sigmoid x"},
    {Kind::kSilu, "mul x sigmoid x"},
    {Kind::kGeluErf, "mul mul x 0.5 add erf mul x 0.70710678118654752440 1"},
    {Kind::kGeluTanh, "mul mul x 0.5 add tanh mul add x mul mul mul x 0.044715 x x 0.79788456080286535588 1"},
    {Kind::kAdd, "add x y"},
    {Kind::kAdd, "add y x"},
    {Kind::kAdd, "sub x y", true},
    {Kind::kMul, "mul x y"},
    {Kind::kMul, "mul y x"},
};

class Matcher {
 public:
  // `derived`: by expression, whether it depends on the raw result.
  Matcher(const Loop& loop, const std::vector<bool>& derived, const Pattern& pattern)
      : loop_(loop), derived_(derived), words_(pattern.expression) {}

  bool match(ExprId id) {
    std::string word;
    words_ >> word;
    if (word == "x" || word == "y") {
      ExprId& bound = word == "x" ? x : y;
      if (derived_[static_cast<size_t>(id)] != (word == "x") || (bound != kNoExpr && bound != id)) {
        return false;
      }
      bound = id;
      return true;
    }
    const Expr& e = loop_.exprs[static_cast<size_t>(id)];
    if (e.op == Op::kConst) {
      char* end = nullptr;
      const double number = std::strtod(word.c_str(), &end);
      return *end == '\0' && std::abs(e.imm_d - number) <= 1e-7 * std::abs(number);
    }
    if (word != codegen::traits(e.op).name) {
      return false;
    }
    for (ExprId operand : codegen::operands(e)) {
      if (operand != kNoExpr && !match(operand)) {
        return false;
      }
    }
    return true;
  }

  ExprId x = kNoExpr, y = kNoExpr;

 private:
  const Loop& loop_;
  const std::vector<bool>& derived_;
  std::istringstream words_;
};

std::vector<bool> derived_from(const Loop& loop, ExprId raw) {
  std::vector<bool> derived(loop.exprs.size(), false);
  derived[static_cast<size_t>(raw)] = true;
  for (size_t i = static_cast<size_t>(raw) + 1; i < loop.exprs.size(); ++i) {
    const auto operands = codegen::operands(loop.exprs[i]);
    derived[i] = std::any_of(operands.begin(), operands.end(), [&](ExprId o) { return o != kNoExpr && derived[static_cast<size_t>(o)]; });
  }
  return derived;
}

}  // namespace

std::optional<std::vector<PostOpStep>> match_post_ops(Loop& loop, ExprId raw, ExprId value) {
  const std::vector<bool> derived = derived_from(loop, raw);
  if (!derived[static_cast<size_t>(value)]) {
    return std::nullopt;
  }
  std::vector<PostOpStep> steps;  // from the last one back to the raw result
  while (value != raw) {
    const ExprId result = value;
    for (const Pattern& pattern : kPatterns) {
      Matcher matcher(loop, derived, pattern);
      if (!codegen::is_float(loop.exprs[static_cast<size_t>(value)].dtype) || !matcher.match(value)) {
        continue;
      }
      PostOpStep step{{pattern.kind}, matcher.y};
      if (matcher.y != kNoExpr) {
        const Expr operand = loop.exprs[static_cast<size_t>(matcher.y)];
        if (operand.op == Op::kConst && pattern.kind == Kind::kMul) {
          step = {{Kind::kScale, 0, operand.imm_d}};
        } else if (pattern.negated) {
          Expr negation;
          negation.op = Op::kNeg;
          negation.dtype = operand.dtype;
          negation.a = matcher.y;
          loop.exprs.push_back(negation);
          step.operand = static_cast<ExprId>(loop.exprs.size() - 1);
        }
      }
      steps.push_back(step);
      value = matcher.x;
      break;
    }
    if (value == result) {
      return std::nullopt;
    }
  }
  std::reverse(steps.begin(), steps.end());
  return steps;
}

}  // namespace torch_hpu::compiler
