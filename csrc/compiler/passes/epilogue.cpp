#include "csrc/compiler/passes/epilogue.h"

#include <c10/util/strides.h>

#include <algorithm>
#include <set>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/access.h"
#include "csrc/compiler/digits.h"
#include "csrc/compiler/passes/post_op_patterns.h"
#include "csrc/compiler/uses.h"

namespace torch_hpu::compiler {
namespace {

using codegen::Access;
using codegen::DimVector;
using codegen::Expr;
using codegen::Loop;
using codegen::Op;
using kernels::LibraryCall;
using kernels::Operand;

constexpr int64_t kSmallerOperand = 8;  // how many times smaller than the result an operand must be that is computed beforehand

// What a loop over the elements of `result` (read through `raw`) reaches through `access`, as an operand broadcastable to result.
std::optional<Operand> operand_over(const Operand& result, const Loop& loop, const Access& raw, const Access& access) {
  const auto strides = strides_along(result.sizes, result.strides, loop.sizes, raw.strides, access.strides);
  if (!strides) {
    return std::nullopt;
  }
  Operand o{access.buffer, access.dtype, access.offset, access.dynamic, result.sizes, *strides};
  for (size_t d = 0; d < o.sizes.size(); ++d) {
    o.sizes[d] = o.strides[d] == 0 ? 1 : o.sizes[d];
  }
  return o;
}

// The dims along which a loop's values move.
std::vector<bool> moving_dims(const Loop& loop) {
  std::vector<bool> moving(loop.sizes.size(), false);
  for (const Expr& e : loop.exprs) {
    if (e.op == Op::kIndex) {
      moving[static_cast<size_t>(e.imm_i)] = true;
    } else if (codegen::is_load(e.op)) {
      for (size_t d = 0; d < moving.size(); ++d) {
        moving[d] = moving[d] || loop.accesses[static_cast<size_t>(e.imm_i)].strides[d] != 0;
      }
    }
  }
  return moving;
}

class Epilogues {
 public:
  explicit Epilogues(Program& program) : program_(program), uses_(program) {}

  void run() {
    items_ = std::move(program_.items);
    program_.items.clear();
    alive_.assign(items_.size(), true);
    before_.resize(items_.size());
    for (size_t i = 0; i < items_.size(); ++i) {
      uses_.add(items_[i], i);
    }
    for (size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].kind == Item::Kind::kLoop) {
        join_producer(i);
      }
    }
    for (size_t i = 0; i < items_.size(); ++i) {
      std::move(before_[i].begin(), before_[i].end(), std::back_inserter(program_.items));
      if (alive_[i]) {
        program_.items.push_back(std::move(items_[i]));
      }
    }
  }

 private:
  // The call with the loop in it, and loops that compute its operands.
  struct Joined {
    LibraryCall call;
    std::vector<Loop> operands;
    std::vector<ir::Buffer> temporaries;
  };

  // Makes the loop at q part of the latest library call that it can be part of.
  void join_producer(size_t q) {
    std::set<size_t, std::greater<>> producers;
    for (const Access& a : items_[q].loop.accesses) {
      const size_t p = uses_.last_write_before(a.buffer, q);
      if (p != Uses::kNever && items_[p].kind == Item::Kind::kLibrary) {
        producers.insert(p);
      }
    }
    for (size_t p : producers) {
      size_t at = q;
      if (!uses_.can_move_down(items_[p], p, q)) {
        if (!uses_.can_move_up(items_[q], q, p)) {
          continue;
        }
        at = p;
      }
      if (auto joined = join(p, q)) {
        replace(p, q, at, std::move(*joined));
        return;
      }
    }
  }

  std::optional<Joined> join(size_t p, size_t q) const {
    const LibraryCall& call = items_[p].call;
    const Loop& original = items_[q].loop;
    if (original.stores.size() != 1 || original.stores[0].at != codegen::kNoExpr || call.writes.size() != 1) {
      return std::nullopt;
    }
    const Operand& result = call.writes[0];
    if (std::any_of(call.reads.begin(), call.reads.end(), [&](const Operand& o) { return o.buffer == result.buffer; })) {
      return std::nullopt;  // it adds to what is there
    }
    Loop loop = original;
    codegen::ExprId raw = codegen::kNoExpr;
    for (size_t i = 0; i < original.exprs.size(); ++i) {
      const Expr& e = original.exprs[i];
      if (!codegen::is_load(e.op) || original.accesses[static_cast<size_t>(e.imm_i)].buffer != result.buffer) {
        continue;
      }
      if (raw != codegen::kNoExpr || e.op != Op::kLoad) {
        return std::nullopt;
      }
      raw = static_cast<codegen::ExprId>(i);
    }
    if (raw == codegen::kNoExpr) {
      return std::nullopt;
    }
    const Access read = loop.accesses[static_cast<size_t>(loop.exprs[static_cast<size_t>(raw)].imm_i)];
    const Access write = loop.accesses[loop.stores[0].access];
    const bool in_place = same_map(*program_.graph, read, write);
    const ir::Buffer& buffer = program_.buffers[result.buffer];
    if (!in_place && (buffer.kind == ir::BufferKind::kInput || buffer.observable || !uses_.used_only_at(result.buffer, p, q))) {
      return std::nullopt;  // somebody else needs the raw result
    }
    const auto stored = operand_over(result, loop, read, write);
    if (!same_origin(*program_.graph, read, access_of(result)) || !stored || !same_layout(*stored, result) || write.dtype != result.dtype) {
      return std::nullopt;
    }
    const auto steps = match_post_ops(loop, raw, loop.stores[0].value);
    if (!steps) {
      return std::nullopt;
    }
    Joined joined{call, {}, {}};
    joined.call.writes[0] = {write.buffer, write.dtype, write.offset, write.dynamic, result.sizes, result.strides};
    if (!in_place && std::any_of(call.reads.begin(), call.reads.end(), [&](const Operand& o) { return o.buffer == write.buffer; })) {
      return std::nullopt;
    }
    for (const PostOpStep& step : *steps) {
      if (!append(joined, loop, result, read, step)) {
        return std::nullopt;
      }
    }
    return joined;
  }

  static bool same_layout(const Operand& a, const Operand& b) {
    for (size_t d = 0; d < a.sizes.size(); ++d) {
      if (b.sizes[d] != 1 && a.strides[d] != b.strides[d]) {
        return false;
      }
    }
    return true;
  }

  bool append(Joined& joined, const Loop& loop, const Operand& result, const Access& raw, const PostOpStep& step) const {
    kernels::PostOp op = step.op;
    Operand operand;
    if (step.operand != codegen::kNoExpr) {
      const Expr& e = loop.exprs[static_cast<size_t>(step.operand)];
      const auto o = e.op == Op::kLoad ? operand_over(result, loop, raw, loop.accesses[static_cast<size_t>(e.imm_i)])
                                       : computed_operand(joined, loop, result, raw, step.operand);
      if (!o) {
        return false;
      }
      operand = *o;
      op.operand = static_cast<uint32_t>(joined.call.reads.size());
    }
    if (!kernels::can_fuse(joined.call, op, operand)) {
      return false;
    }
    if (step.operand != codegen::kNoExpr) {
      joined.call.reads.push_back(operand);
    }
    joined.call.post_ops.push_back(op);
    return true;
  }

  // An operand that the loop computes: by a loop of its own over the dims along which it moves.
  std::optional<Operand> computed_operand(Joined& joined, const Loop& loop, const Operand& result, const Access& raw,
                                          codegen::ExprId value) const {
    Loop own = loop;
    Access to;
    to.buffer = static_cast<uint32_t>(program_.buffers.size() + joined.temporaries.size());
    to.dtype = loop.exprs[static_cast<size_t>(value)].dtype;
    to.strides.assign(loop.sizes.size(), 0);
    own.accesses.push_back(to);
    own.stores = {{static_cast<uint32_t>(own.accesses.size() - 1), value}};
    compact(own);
    const std::vector<bool> moving = moving_dims(own);
    DimVector sizes;
    std::vector<std::vector<size_t>> digits(loop.sizes.size());
    for (size_t d = 0; d < moving.size(); ++d) {
      if (moving[d]) {
        digits[d] = {sizes.size()};
        sizes.push_back(loop.sizes[d]);
      }
    }
    const int64_t numel = c10::multiply_integers(sizes);
    if (numel * kSmallerOperand > loop.numel()) {
      return std::nullopt;
    }
    int64_t stride = numel;
    for (size_t d = 0; d < moving.size(); ++d) {
      if (moving[d]) {
        stride /= loop.sizes[d];
        to.strides[d] = stride;
      }
    }
    own.accesses[own.stores[0].access] = to;
    respace(own, sizes, static_cast<uint32_t>(sizes.size()), digits);
    joined.operands.push_back(std::move(own));
    joined.temporaries.push_back({numel * static_cast<int64_t>(c10::elementSize(to.dtype)), ir::BufferKind::kLocal, false, true});
    return operand_over(result, loop, raw, to);
  }

  // The joined call stands at `at`, which is p or q.
  void replace(size_t p, size_t q, size_t at, Joined joined) {
    program_.buffers.insert(program_.buffers.end(), joined.temporaries.begin(), joined.temporaries.end());
    uses_.remove(items_[p], p);
    uses_.remove(items_[q], q);
    for (Loop& loop : joined.operands) {
      Item item;
      item.node = items_[q].node;
      item.loop = std::move(loop);
      uses_.add(item, at);
      before_[at].push_back(std::move(item));
    }
    Item call = std::move(items_[p]);
    call.call = std::move(joined.call);
    alive_[p] = alive_[q] = false;
    items_[at] = std::move(call);
    alive_[at] = true;
    uses_.add(items_[at], at);
  }

  Program& program_;
  Uses uses_;
  std::vector<Item> items_;
  std::vector<bool> alive_;
  std::vector<std::vector<Item>> before_;  // by position: loops that compute operands of the call there
};

}  // namespace

void fuse_epilogues(Program& program) {
  Epilogues(program).run();
}

}  // namespace torch_hpu::compiler
