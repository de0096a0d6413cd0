#include "csrc/compiler/passes/simplify.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <optional>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/passes/rewrite.h"
#include "csrc/compiler/uses.h"
#include "csrc/ir/relation.h"

namespace torch_hpu::compiler {
namespace {

using c10::ScalarType;
using codegen::Access;
using codegen::Expr;
using codegen::Loop;
using codegen::Op;

// What every element of a buffer is.
struct Fill {
  ScalarType dtype;  // in memory
  Expr value;        // kConst or kScalar
  ir::ScalarId scalar = ir::kNone;
  ir::ScalarCategory category = ir::ScalarCategory::kFloat;
};

// Whether memory gives back what was stored.
bool survives(const Expr& e, ScalarType memory) {
  if (memory == codegen::compute_dtype(memory)) {
    return true;
  }
  const auto x = static_cast<float>(e.imm_d);
  const float back = memory == ScalarType::Half ? static_cast<float>(c10::Half(x)) : static_cast<float>(c10::BFloat16(x));
  return e.op == Op::kConst && back == x;
}

std::optional<Fill> fill_of(const Loop& loop, const codegen::Store& store, const ir::Buffer& buffer) {
  const Access& a = loop.accesses[store.access];
  const Expr& value = loop.exprs[static_cast<size_t>(store.value)];
  if (buffer.kind != ir::BufferKind::kLocal || store.at != codegen::kNoExpr || (value.op != Op::kConst && value.op != Op::kScalar) ||
      !survives(value, a.dtype)) {
    return std::nullopt;
  }
  ir::Window w;
  w.dtype = a.dtype;
  w.offset = a.offset;
  w.sizes = loop.sizes;
  w.strides = a.strides;
  if (!ir::covers(w, buffer.nbytes)) {
    return std::nullopt;
  }
  Fill fill{a.dtype, value};
  if (value.op == Op::kScalar) {
    fill.scalar = loop.scalar_ids[static_cast<size_t>(value.imm_i)];
    fill.category = loop.scalars[static_cast<size_t>(value.imm_i)];
  }
  return fill;
}

void use_fills(Loop& loop, const std::vector<std::optional<Fill>>& fills) {
  for (Expr& e : loop.exprs) {
    if (e.op != Op::kLoad) {
      continue;
    }
    const Access& a = loop.accesses[static_cast<size_t>(e.imm_i)];
    const auto& fill = fills[a.buffer];
    if (fill && fill->dtype == a.dtype) {
      e = fill->value;
      if (e.op == Op::kScalar) {
        const auto known = std::find(loop.scalar_ids.begin(), loop.scalar_ids.end(), fill->scalar);
        e.imm_i = known - loop.scalar_ids.begin();
        if (known == loop.scalar_ids.end()) {
          loop.scalars.push_back(fill->category);
          loop.scalar_ids.push_back(fill->scalar);
        }
      }
    }
  }
}

}  // namespace

void simplify(Program& program) {
  std::vector<std::optional<Fill>> fills(program.buffers.size());
  for (Item& item : program.items) {
    if (item.kind == Item::Kind::kLoop) {
      use_fills(item.loop, fills);
      rewrite(item.loop);
    }
    for (const BufferUse& u : buffer_uses(program, item)) {
      if (u.writes) {
        fills[u.buffer].reset();
      }
    }
    if (item.kind == Item::Kind::kLoop) {
      for (const codegen::Store& s : item.loop.stores) {
        const ir::BufferId b = item.loop.accesses[s.access].buffer;
        fills[b] = fill_of(item.loop, s, program.buffers[b]);
      }
    }
  }
}

}  // namespace torch_hpu::compiler
