// The text of a loop:
//   softmax [8 | 128]
//     a0: Float b0 [128, 1]
//     a1: Float b1 + 64 + w0 [128, 1]
//     %0 = load a0 : Float
//     %1 = reduce_max %0 : Float
//     ...
//     a1 <- %6
#include <cinttypes>
#include <sstream>

#include "csrc/codegen/loop.h"
#include "csrc/codegen/op_traits.h"

namespace torch_hpu::codegen {
namespace {

const char* category_name(ir::ScalarCategory c) {
  static constexpr const char* kNames[] = {"bool", "int", "float", "complex"};
  return kNames[static_cast<size_t>(c)];
}

std::string shortest(double d) {
  char text[32];
  for (int digits = 6; digits <= 17; ++digits) {  // the shortest text that reads back as d
    snprintf(text, sizeof text, "%.*g", digits, d);
    if (strtod(text, nullptr) == d) {
      break;
    }
  }
  return text;
}

void print_sizes(std::ostream& out, const Loop& loop) {
  out << '[';
  for (size_t d = 0; d < loop.sizes.size(); ++d) {
    out << (d == 0 ? (loop.kept == 0 ? "| " : "") : d == loop.kept ? " | " : ", ") << loop.sizes[d];
  }
  out << ']';
}

void print_expr(std::ostream& out, const Loop& loop, ExprId id) {
  const Expr& e = loop.exprs[id];
  const OpTraits& t = traits(e.op);
  out << "  %" << id << " = " << t.name;
  switch (e.op) {
    case Op::kConst:
      out << ' ' << (is_float(e.dtype) ? shortest(e.imm_d) : std::to_string(e.imm_i));
      break;
    case Op::kScalar:
      out << " s" << e.imm_i;
      break;
    case Op::kIndex:
      out << " d" << e.imm_i;
      break;
    case Op::kLoad:
    case Op::kLoadAt:
      out << " a" << e.imm_i;
      break;
    default:
      break;
  }
  for (int i = 0; i < t.operands; ++i) {
    out << (i == 0 && t.op_class != OpClass::kLeaf ? " %" : i == 0 ? (e.op == Op::kLoadAt ? " at %" : " %") : ", %") << operands(e)[i];
  }
  if (e.op == Op::kCheckIndex) {
    out << " of " << e.imm_i;
  }
  out << " : " << c10::toString(e.dtype) << '\n';
}

}  // namespace

std::string to_string(const Loop& loop) {
  std::ostringstream out;
  out << loop.name << ' ';
  print_sizes(out, loop);
  out << '\n';
  for (size_t i = 0; i < loop.accesses.size(); ++i) {
    const Access& a = loop.accesses[i];
    out << "  a" << i << ": " << c10::toString(a.dtype) << " b" << a.buffer;
    if (a.offset != 0) {
      out << " + " << a.offset;
    }
    if (a.dynamic != ir::kNone) {
      out << " + w" << a.dynamic;
    }
    out << " [";
    for (size_t d = 0; d < a.strides.size(); ++d) {
      out << (d == 0 ? "" : ", ") << a.strides[d];
    }
    out << "]\n";
  }
  for (size_t i = 0; i < loop.scalars.size(); ++i) {
    out << "  s" << i << ": " << category_name(loop.scalars[i]);
    if (i < loop.scalar_ids.size() && loop.scalar_ids[i] != ir::kNone) {
      out << " scalar " << loop.scalar_ids[i];
    }
    out << '\n';
  }
  if (loop.rng != ir::kNone) {
    out << "  rng: scalar " << loop.rng << '\n';
  }
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    print_expr(out, loop, static_cast<ExprId>(i));
  }
  for (const Store& s : loop.stores) {
    out << "  a" << s.access << " <- %" << s.value;
    if (s.at != kNoExpr) {
      out << " at %" << s.at;
    }
    out << '\n';
  }
  return out.str();
}

}  // namespace torch_hpu::codegen
