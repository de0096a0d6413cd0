#include "csrc/compiler/passes/merge.h"

#include <algorithm>
#include <map>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/access.h"

namespace torch_hpu::compiler {

using codegen::Access;
using codegen::Expr;
using codegen::ExprId;
using codegen::Loop;
using codegen::Op;
using codegen::Store;

namespace {

constexpr size_t kMaxAccesses = 48, kMaxExprs = 320;

}  // namespace

std::optional<Loop> merge(const ir::Graph& graph, const Loop& first, const Loop& second) {
  if (first.sizes != second.sizes || first.kept != second.kept || first.accesses.size() + second.accesses.size() > kMaxAccesses ||
      first.exprs.size() + second.exprs.size() > kMaxExprs ||
      (first.rng != ir::kNone && second.rng != ir::kNone && first.rng != second.rng)) {
    return std::nullopt;
  }
  Loop out = first;
  const size_t base_access = first.accesses.size();
  const auto base_scalar = static_cast<int64_t>(first.scalars.size());
  out.accesses.insert(out.accesses.end(), second.accesses.begin(), second.accesses.end());
  // One access for one map: what one loop loads or stores through one window the other may reach through another.
  std::vector<int64_t> access(out.accesses.size());
  for (size_t i = 0; i < access.size(); ++i) {
    access[i] = static_cast<int64_t>(i);
    for (size_t k = 0; k < i; ++k) {
      if (access[k] == static_cast<int64_t>(k) && same_map(graph, out.accesses[i], out.accesses[k])) {
        access[i] = static_cast<int64_t>(k);
        break;
      }
    }
  }
  for (Expr& e : out.exprs) {
    if (codegen::is_load(e.op)) {
      e.imm_i = access[static_cast<size_t>(e.imm_i)];
    }
  }
  for (Store& s : out.stores) {
    s.access = static_cast<uint32_t>(access[s.access]);
  }
  out.scalars.insert(out.scalars.end(), second.scalars.begin(), second.scalars.end());
  out.scalar_ids.insert(out.scalar_ids.end(), second.scalar_ids.begin(), second.scalar_ids.end());
  std::vector<int64_t> scalar(second.scalars.size());
  for (size_t i = 0; i < scalar.size(); ++i) {
    scalar[i] = base_scalar + static_cast<int64_t>(i);
    for (size_t k = 0; k < first.scalar_ids.size(); ++k) {
      if (first.scalar_ids[k] == second.scalar_ids[i]) {
        scalar[i] = static_cast<int64_t>(k);
      }
    }
  }
  if (out.rng == ir::kNone) {
    out.rng = second.rng;
  }
  // What the first loop has stored, by access.
  std::map<int64_t, ExprId> stored;
  for (const Store& s : out.stores) {
    if (s.at != codegen::kNoExpr) {
      return std::nullopt;
    }
    stored[s.access] = s.value;
  }
  std::vector<ExprId> renamed(second.exprs.size());
  for (size_t i = 0; i < second.exprs.size(); ++i) {
    Expr e = second.exprs[i];
    for (ExprId* operand : {&e.a, &e.b, &e.c}) {
      if (*operand != codegen::kNoExpr) {
        *operand = renamed[static_cast<size_t>(*operand)];
      }
    }
    if (codegen::is_load(e.op)) {
      e.imm_i = access[base_access + static_cast<size_t>(e.imm_i)];
      if (e.op == Op::kLoad) {
        if (auto it = stored.find(e.imm_i); it != stored.end()) {
          const Access& a = out.accesses[static_cast<size_t>(e.imm_i)];
          ExprId value = it->second;
          // The value as memory would have held it: half precisions stay in float inside a kernel, see Note [Numerics].
          const c10::ScalarType value_dtype = out.exprs[static_cast<size_t>(value)].dtype;
          TORCH_INTERNAL_ASSERT(value_dtype == e.dtype, "a store of ", value_dtype, " is loaded as ", e.dtype, " from ", a.dtype);
          renamed[i] = value;
          continue;
        }
      }
    } else if (e.op == Op::kScalar) {
      e.imm_i = scalar[static_cast<size_t>(e.imm_i)];
    }
    out.exprs.push_back(e);
    renamed[i] = static_cast<ExprId>(out.exprs.size() - 1);
  }
  for (const Store& s : second.stores) {
    Store t = s;
    t.access = static_cast<uint32_t>(access[base_access + s.access]);
    t.value = renamed[static_cast<size_t>(s.value)];
    if (t.at != codegen::kNoExpr) {
      t.at = renamed[static_cast<size_t>(t.at)];
    }
    // A later store to the same place replaces an earlier one.
    std::erase_if(out.stores, [&](const Store& x) { return x.access == t.access && x.at == codegen::kNoExpr && t.at == codegen::kNoExpr; });
    out.stores.push_back(t);
  }
  // Stores may meet loads and other stores of the loop only at the same point.
  for (const Store& s : out.stores) {
    const Access& target = out.accesses[s.access];
    for (const Expr& e : out.exprs) {
      if (!codegen::is_load(e.op) || out.accesses[static_cast<size_t>(e.imm_i)].buffer != target.buffer) {
        continue;
      }
      const Access& source = out.accesses[static_cast<size_t>(e.imm_i)];
      if (e.op == Op::kLoadAt || s.at != codegen::kNoExpr ||
          (!same_map(graph, source, target) && may_overlap(graph, source, out.sizes, target, out.sizes))) {
        return std::nullopt;
      }
    }
    for (const Store& other : out.stores) {
      const bool displaced =
          &other != &s && out.accesses[other.access].buffer == target.buffer && (other.at != codegen::kNoExpr || s.at != codegen::kNoExpr);
      if (displaced || (other.access != s.access && may_overlap(graph, out.accesses[other.access], out.sizes, target, out.sizes))) {
        return std::nullopt;
      }
    }
  }
  // A row store in one loop and a point value in the other must keep their levels: a store that moves along reduced dims needs a point value.
  const auto point = point_level(out);
  for (const Store& s : out.stores) {
    const auto& strides = out.accesses[s.access].strides;
    const bool moves = std::any_of(strides.begin() + out.kept, strides.end(), [](int64_t x) { return x != 0; });
    if (moves != point[static_cast<size_t>(s.value)]) {
      return std::nullopt;
    }
  }
  out.name = first.name == second.name ? first.name : first.name.size() > 60 ? first.name : first.name + "_" + second.name;
  compact(out);
  return out;
}

}  // namespace torch_hpu::compiler
