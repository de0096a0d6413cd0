#include "csrc/compiler/passes/unit_reductions.h"

#include <algorithm>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/access.h"

namespace torch_hpu::compiler {

using codegen::Expr;
using codegen::ExprId;
using codegen::Loop;
using codegen::Op;

namespace {

bool reduces_one_element(const Loop& loop) {
  return loop.kept < loop.sizes.size() &&
         std::all_of(loop.sizes.begin() + loop.kept, loop.sizes.end(), [](int64_t size) { return size == 1; });
}

void make_pointwise(Loop& loop) {
  std::vector<ExprId> renamed(loop.exprs.size());
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    Expr& e = loop.exprs[i];
    renamed[i] = static_cast<ExprId>(i);
    for (ExprId* operand : {&e.a, &e.b, &e.c}) {
      if (*operand != codegen::kNoExpr) {
        *operand = renamed[static_cast<size_t>(*operand)];
      }
    }
    if (codegen::is_arg_reduce(e.op)) {
      e = {Op::kConst, c10::ScalarType::Long};
    } else if (codegen::is_reduce(e.op)) {
      renamed[i] = e.a;
    }
  }
  for (codegen::Store& s : loop.stores) {
    s.value = renamed[static_cast<size_t>(s.value)];
    if (s.at != codegen::kNoExpr) {
      s.at = renamed[static_cast<size_t>(s.at)];
    }
  }
  loop.kept = static_cast<uint32_t>(loop.sizes.size());
  compact(loop);
}

}  // namespace

void drop_unit_reductions(Program& program) {
  for (Item& item : program.items) {
    if (item.kind == Item::Kind::kLoop && reduces_one_element(item.loop)) {
      make_pointwise(item.loop);
    }
  }
}

}  // namespace torch_hpu::compiler
