// Builds loops for the tests, one call an expression.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "csrc/codegen/codegen.h"

namespace torch_hpu::codegen {

using S = c10::ScalarType;

struct LoopBuilder {
  Loop loop;

  LoopBuilder(std::string name, std::vector<int64_t> sizes, uint32_t kept) {
    loop.name = std::move(name);
    loop.sizes.assign(sizes.begin(), sizes.end());
    loop.kept = kept;
  }

  uint32_t access(uint32_t buffer, S dtype, const std::vector<int64_t>& strides, int64_t offset = 0, uint32_t dynamic = ir::kNone) {
    Access a;
    a.buffer = buffer;
    a.dtype = dtype;
    a.offset = offset;
    a.dynamic = dynamic;
    a.strides.assign(strides.begin(), strides.end());
    loop.accesses.push_back(a);
    return static_cast<uint32_t>(loop.accesses.size() - 1);
  }
  ExprId expr(Op op, S dtype, ExprId a = kNoExpr, ExprId b = kNoExpr, ExprId c = kNoExpr, int64_t imm_i = 0, double imm_d = 0) {
    loop.exprs.push_back({op, dtype, a, b, c, imm_i, imm_d});
    return static_cast<ExprId>(loop.exprs.size() - 1);
  }
  ExprId load(uint32_t access) {
    const S t = loop.accesses[access].dtype;
    return expr(Op::kLoad, t == S::Half || t == S::BFloat16 ? S::Float : t, kNoExpr, kNoExpr, kNoExpr, access);
  }
  ExprId load(uint32_t buffer, S dtype, const std::vector<int64_t>& strides) {
    return load(access(buffer, dtype, strides));
  }
  ExprId load_at(uint32_t access, ExprId at) {
    const ExprId id = load(access);
    loop.exprs[id].op = Op::kLoadAt;
    loop.exprs[id].a = at;
    return id;
  }
  ExprId constant(S dtype, double d) {
    return expr(Op::kConst, dtype, kNoExpr, kNoExpr, kNoExpr, static_cast<int64_t>(d), d);
  }
  ExprId index(int64_t dim) {
    return expr(Op::kIndex, S::Long, kNoExpr, kNoExpr, kNoExpr, dim);
  }
  ExprId scalar(ir::ScalarCategory category, S dtype) {
    loop.scalars.push_back(category);
    loop.scalar_ids.push_back(static_cast<ir::ScalarId>(loop.scalars.size() - 1));
    return expr(Op::kScalar, dtype, kNoExpr, kNoExpr, kNoExpr, static_cast<int64_t>(loop.scalars.size()) - 1);
  }
  ExprId unary(Op op, ExprId a) {
    return expr(op, loop.exprs[a].dtype, a);
  }
  ExprId binary(Op op, ExprId a, ExprId b) {
    return expr(op, loop.exprs[a].dtype, a, b);
  }
  ExprId compare(Op op, ExprId a, ExprId b) {
    return expr(op, S::Bool, a, b);
  }
  ExprId select(ExprId c, ExprId x, ExprId y) {
    return expr(Op::kSelect, loop.exprs[x].dtype, c, x, y);
  }
  ExprId cast(ExprId a, S to) {
    return expr(Op::kCast, to, a);
  }
  void store(uint32_t access, ExprId value, ExprId at = kNoExpr) {
    loop.stores.push_back({access, value, at});
  }
  void store(uint32_t buffer, S dtype, const std::vector<int64_t>& strides, ExprId value) {
    store(access(buffer, dtype, strides), value);
  }
};

}  // namespace torch_hpu::codegen
