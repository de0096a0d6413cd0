#include "csrc/compiler/access.h"

#include <algorithm>
#include <bit>

#include "csrc/codegen/op_traits.h"

namespace torch_hpu::compiler {

using codegen::Access;
using codegen::DimVector;
using codegen::Expr;
using codegen::ExprId;
using codegen::Loop;
using codegen::Op;

namespace {

// How the windows behind two accesses of one input buffer lie to each other in every run.
ir::Relation windows_relation(const ir::Graph& graph, const Access& a, const Access& b) {
  if (a.dynamic == b.dynamic) {
    return ir::Relation::kEqual;
  }
  if (a.dynamic == ir::kNone || b.dynamic == ir::kNone) {
    return ir::Relation::kOverlapping;
  }
  const ir::Window &x = graph.windows[a.dynamic], &y = graph.windows[b.dynamic];
  return ir::comparable(graph, x) && ir::comparable(graph, y) ? ir::relation(x, y) : ir::Relation::kOverlapping;
}

}  // namespace

Access access_of(const kernels::Operand& o) {
  return {o.buffer, o.dtype, o.offset, o.dynamic, o.strides};
}

bool same_origin(const ir::Graph& graph, const Access& a, const Access& b) {
  return a.buffer == b.buffer && a.dtype == b.dtype && a.offset == b.offset && windows_relation(graph, a, b) == ir::Relation::kEqual;
}

bool same_map(const ir::Graph& graph, const Access& a, const Access& b) {
  return a.strides == b.strides && same_origin(graph, a, b);
}

bool may_overlap(const ir::Graph& graph, const Access& a, const DimVector& a_sizes, const Access& b, const DimVector& b_sizes) {
  if (a.buffer != b.buffer) {
    return false;
  }
  const ir::Relation windows = windows_relation(graph, a, b);
  if (windows != ir::Relation::kEqual) {
    return windows == ir::Relation::kOverlapping;
  }
  auto footprint = [](const Access& x, const DimVector& sizes) {
    ir::Window w;
    w.dtype = x.dtype;
    w.offset = x.offset;
    w.sizes = sizes;
    w.strides = x.strides;
    return w;
  };
  return ir::relation(footprint(a, a_sizes), footprint(b, b_sizes)) != ir::Relation::kDisjoint;
}

void respace(Loop& loop, const DimVector& sizes, uint32_t kept, const std::vector<std::vector<size_t>>& digits) {
  for (Access& access : loop.accesses) {
    DimVector strides(sizes.size(), 0);
    for (size_t d = 0; d < digits.size(); ++d) {
      int64_t stride = access.strides[d];
      for (auto it = digits[d].rbegin(); it != digits[d].rend(); ++it) {
        strides[*it] = sizes[*it] == 1 ? 0 : stride;
        stride *= sizes[*it];
      }
    }
    access.strides = strides;
  }
  // An index along an old dim is put together from its digits. Operands must stand before their users: the list is built anew.
  std::vector<Expr> exprs;
  std::vector<ExprId> renamed(loop.exprs.size(), codegen::kNoExpr);
  auto push = [&](Op op, ExprId a, ExprId b, int64_t imm) {
    Expr e;
    e.op = op;
    e.dtype = c10::ScalarType::Long;
    e.a = a;
    e.b = b;
    e.imm_i = imm;
    exprs.push_back(e);
    return static_cast<ExprId>(exprs.size() - 1);
  };
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    Expr e = loop.exprs[i];
    if (e.op == Op::kIndex) {
      ExprId value = codegen::kNoExpr;
      for (size_t digit : digits[static_cast<size_t>(e.imm_i)]) {
        const ExprId index = push(Op::kIndex, codegen::kNoExpr, codegen::kNoExpr, static_cast<int64_t>(digit));
        if (value == codegen::kNoExpr) {
          value = index;
        } else {
          const ExprId size = push(Op::kConst, codegen::kNoExpr, codegen::kNoExpr, sizes[digit]);
          value = push(Op::kAdd, push(Op::kMul, value, size, 0), index, 0);
        }
      }
      renamed[i] = value == codegen::kNoExpr ? push(Op::kConst, codegen::kNoExpr, codegen::kNoExpr, 0) : value;
      continue;
    }
    for (ExprId* operand : {&e.a, &e.b, &e.c}) {
      if (*operand != codegen::kNoExpr) {
        *operand = renamed[static_cast<size_t>(*operand)];
      }
    }
    exprs.push_back(e);
    renamed[i] = static_cast<ExprId>(exprs.size() - 1);
  }
  loop.exprs = std::move(exprs);
  for (codegen::Store& s : loop.stores) {
    s.value = renamed[static_cast<size_t>(s.value)];
    if (s.at != codegen::kNoExpr) {
      s.at = renamed[static_cast<size_t>(s.at)];
    }
  }
  loop.sizes = sizes;
  loop.kept = kept;
}

void compact(Loop& loop) {
  std::vector<bool> used(loop.exprs.size(), false);
  for (const codegen::Store& s : loop.stores) {
    used[static_cast<size_t>(s.value)] = true;
    if (s.at != codegen::kNoExpr) {
      used[static_cast<size_t>(s.at)] = true;
    }
  }
  for (size_t i = loop.exprs.size(); i-- > 0;) {
    if (used[i]) {
      for (ExprId operand : {loop.exprs[i].a, loop.exprs[i].b, loop.exprs[i].c}) {
        if (operand != codegen::kNoExpr) {
          used[static_cast<size_t>(operand)] = true;
        }
      }
    }
  }
  Loop out = loop;
  out.exprs.clear();
  out.accesses.clear();
  out.scalars.clear();
  out.scalar_ids.clear();
  std::vector<ExprId> renamed(loop.exprs.size(), codegen::kNoExpr);
  std::vector<int64_t> access_of(loop.accesses.size(), -1), scalar_of(loop.scalars.size(), -1);
  auto access = [&](int64_t old) {
    if (access_of[static_cast<size_t>(old)] < 0) {
      access_of[static_cast<size_t>(old)] = static_cast<int64_t>(out.accesses.size());
      out.accesses.push_back(loop.accesses[static_cast<size_t>(old)]);
    }
    return access_of[static_cast<size_t>(old)];
  };
  bool random = false;
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    if (!used[i]) {
      continue;
    }
    Expr e = loop.exprs[i];
    for (ExprId* operand : {&e.a, &e.b, &e.c}) {
      if (*operand != codegen::kNoExpr) {
        *operand = renamed[static_cast<size_t>(*operand)];
      }
    }
    if (codegen::is_load(e.op)) {
      e.imm_i = access(e.imm_i);
    } else if (e.op == Op::kScalar) {
      int64_t& slot = scalar_of[static_cast<size_t>(e.imm_i)];
      if (slot < 0) {
        slot = static_cast<int64_t>(out.scalars.size());
        out.scalars.push_back(loop.scalars[static_cast<size_t>(e.imm_i)]);
        out.scalar_ids.push_back(loop.scalar_ids[static_cast<size_t>(e.imm_i)]);
      }
      e.imm_i = slot;
    }
    random = random || e.op == Op::kUniform || e.op == Op::kRandomBits;
    // Equal expressions that met by fusion become one.
    ExprId known = codegen::kNoExpr;
    for (size_t k = out.exprs.size(); k-- > 0 && out.exprs.size() - k <= 64;) {
      const Expr& x = out.exprs[k];
      if (x.op == e.op && x.dtype == e.dtype && x.a == e.a && x.b == e.b && x.c == e.c && x.imm_i == e.imm_i &&
          std::bit_cast<uint64_t>(x.imm_d) == std::bit_cast<uint64_t>(e.imm_d)) {  // 0 is not -0
        known = static_cast<ExprId>(k);
        break;
      }
    }
    if (known == codegen::kNoExpr) {
      out.exprs.push_back(e);
      known = static_cast<ExprId>(out.exprs.size() - 1);
    }
    renamed[i] = known;
  }
  for (codegen::Store& s : out.stores) {
    s.access = static_cast<uint32_t>(access(s.access));
    s.value = renamed[static_cast<size_t>(s.value)];
    if (s.at != codegen::kNoExpr) {
      s.at = renamed[static_cast<size_t>(s.at)];
    }
  }
  if (!random) {
    out.rng = ir::kNone;
  }
  loop = std::move(out);
}

std::vector<bool> point_level(const Loop& loop) {
  std::vector<bool> point(loop.exprs.size(), false);
  for (size_t i = 0; i < loop.exprs.size(); ++i) {
    const Expr& e = loop.exprs[i];
    if (codegen::is_reduce(e.op)) {
      continue;
    }
    bool p = e.op == Op::kIndex && e.imm_i >= static_cast<int64_t>(loop.kept);
    if (codegen::is_load(e.op)) {
      const Access& a = loop.accesses[static_cast<size_t>(e.imm_i)];
      p = std::any_of(a.strides.begin() + loop.kept, a.strides.end(), [](int64_t s) { return s != 0; });
    }
    for (ExprId operand : {e.a, e.b, e.c}) {
      p = p || (operand != codegen::kNoExpr && point[static_cast<size_t>(operand)]);
    }
    point[i] = p;
  }
  return point;
}

void raise_stores(Loop& loop) {
  const std::vector<bool> point = point_level(loop);
  const auto push = [&](Op op, c10::ScalarType dtype, ExprId a, ExprId b, ExprId c, int64_t imm) {
    loop.exprs.push_back({op, dtype, a, b, c, imm});
    return static_cast<ExprId>(loop.exprs.size() - 1);
  };
  constexpr ExprId kNo = codegen::kNoExpr;
  for (codegen::Store& s : loop.stores) {
    const DimVector& strides = loop.accesses[s.access].strides;
    const auto moving = std::find_if(strides.begin() + loop.kept, strides.end(), [](int64_t stride) { return stride != 0; });
    if (moving == strides.end() || point[static_cast<size_t>(s.value)]) {
      continue;
    }
    const ExprId index = push(Op::kIndex, c10::ScalarType::Long, kNo, kNo, kNo, moving - strides.begin());
    const ExprId zero = push(Op::kConst, c10::ScalarType::Long, kNo, kNo, kNo, 0);
    const ExprId always = push(Op::kGe, c10::ScalarType::Bool, index, zero, kNo, 0);
    s.value = push(Op::kSelect, loop.exprs[static_cast<size_t>(s.value)].dtype, always, s.value, s.value, 0);
  }
}

}  // namespace torch_hpu::compiler
