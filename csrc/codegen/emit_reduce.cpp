// Reductions: accumulators in registers, one per copy of the unrolled loop, folded when the walk ends.
//
// Note [Numerics]
// Float sums accumulate in float. Their error stays near that of pairwise summation because there are many partial sums: the
// lanes of `unroll` vectors, and long walks are cut into runs of about kRun iterations whose sums are added to a second
// accumulator (and split plans add a third level). The order of all additions is fixed by the loop, not by the threads.
#include <c10/util/Exception.h>

#include <limits>

#include "csrc/codegen/emitter.h"

namespace torch_hpu::codegen {

using c10::ScalarType;

static constexpr int64_t kRun = 64;

Partials partials_layout(const Plan& plan) {
  Partials p;
  p.value.assign(plan.loop.exprs.size(), -1);
  p.index = p.value;
  if (plan.split_dim < 0) {
    return p;
  }
  const int64_t n = plan.kept_points() * plan.chunks;
  const auto place = [&](ScalarType t) {
    const int64_t at = p.bytes;
    p.bytes += (n * static_cast<int64_t>(c10::elementSize(t)) + 63) / 64 * 64;
    return at;
  };
  for (size_t i = 0; i < plan.loop.exprs.size(); ++i) {
    const Expr& e = plan.loop.exprs[i];
    if (is_reduce(e.op)) {
      p.value[i] = place(plan.loop.exprs[e.a].dtype);
      p.index[i] = is_arg_reduce(e.op) ? place(ScalarType::Long) : -1;
    }
  }
  return p;
}

// The dim whose walk is cut into runs, and the iterations of a run. -1: the walk is short, or nothing needs it.
int Emitter::flush_dim(int pass) {
  bool sums = false;
  for (size_t i = 0; i < plan_.loop.exprs.size(); ++i) {
    const Expr& e = plan_.loop.exprs[i];
    sums = sums || (e.op == Op::kReduceSum && is_float(e.dtype) && plan_.pass[i] == pass);
  }
  int64_t total = 1;
  int dim = -1;
  for (int d = plan_.rank() - 1; d >= plan_.kept(); --d) {
    int64_t n = phase_.chunked && d == plan_.split_dim ? plan_.chunk : plan_.loop.sizes[d];
    n = plan_.row_mode && d == plan_.vector_dim ? n / plan_.block() : n;
    if (dim < 0 && total * std::max<int64_t>(n, 1) >= kRun) {
      dim = d;
      flush_every_ = (kRun + total - 1) / std::max<int64_t>(total, 1);
    }
    total *= std::max<int64_t>(n, 1);
  }
  return sums && total > 4 * kRun ? dim : -1;
}

Emitter::Partial Emitter::identity(ExprId id, int lanes) {
  const Expr& e = plan_.loop.exprs[id];
  const ScalarType dtype = plan_.loop.exprs[e.a].dtype;
  Type* t = Alu::with_lanes(alu_.type_of(dtype), lanes);
  Partial p;
  if (e.op == Op::kReduceSum) {
    p.value = llvm::Constant::getNullValue(t);
  } else if (e.op == Op::kReduceProd) {
    p.value = is_float(dtype) ? alu_.constant(t, 1.0) : alu_.constant(t, int64_t{1});
  } else {
    const bool largest = e.op == Op::kReduceMin || e.op == Op::kReduceArgMin;
    const unsigned bits = t->getScalarSizeInBits();
    if (is_float(dtype)) {
      const double inf = std::numeric_limits<double>::infinity();
      p.value = alu_.constant(t, largest ? inf : -inf);
    } else if (dtype == ScalarType::Bool || dtype == ScalarType::Byte) {
      p.value = llvm::ConstantInt::get(t, largest ? llvm::APInt::getMaxValue(bits) : llvm::APInt::getMinValue(bits));
    } else {
      p.value = llvm::ConstantInt::get(t, largest ? llvm::APInt::getSignedMaxValue(bits) : llvm::APInt::getSignedMinValue(bits));
    }
  }
  if (is_arg_reduce(e.op)) {  // larger than every index: loses all ties
    p.index = alu_.constant(Alu::with_lanes(b.getInt64Ty(), lanes), std::numeric_limits<int64_t>::max());
  }
  return p;
}

Emitter::Partial Emitter::fold(ExprId id, Partial x, Partial y) {
  const Expr& e = plan_.loop.exprs[id];
  const ScalarType dtype = plan_.loop.exprs[e.a].dtype;
  const auto apply = [&](Op op, Value* v, Value* w) { return alu_.apply(op, dtype, {v, w}); };
  switch (e.op) {
    case Op::kReduceSum:
      return {apply(Op::kAdd, x.value, y.value), nullptr};
    case Op::kReduceProd:
      return {apply(Op::kMul, x.value, y.value), nullptr};
    case Op::kReduceMin:
      return {apply(Op::kMin, x.value, y.value), nullptr};
    case Op::kReduceMax:
      return {apply(Op::kMax, x.value, y.value), nullptr};
    default:
      break;
  }
  // y wins when it is better, or equal and earlier; NaN is better than every number, and equal to NaN.
  Value* better = apply(e.op == Op::kReduceArgMax ? Op::kGt : Op::kLt, y.value, x.value);
  Value* equal = apply(Op::kEq, y.value, x.value);
  if (is_float(dtype)) {
    Value* x_nan = b.CreateFCmpUNO(x.value, x.value);
    Value* y_nan = b.CreateFCmpUNO(y.value, y.value);
    better = b.CreateOr(better, b.CreateAnd(y_nan, b.CreateNot(x_nan)));
    equal = b.CreateOr(equal, b.CreateAnd(x_nan, y_nan));
  }
  Value* wins = b.CreateOr(better, b.CreateAnd(equal, b.CreateICmpSLT(y.index, x.index)));
  return {b.CreateSelect(wins, y.value, x.value), b.CreateSelect(wins, y.index, x.index)};
}

void Emitter::start_accumulators(int pass, int copies) {
  accumulators_.clear();
  flush_dim_ = flush_dim(pass);
  for (size_t i = 0; i < plan_.loop.exprs.size(); ++i) {
    const Expr& e = plan_.loop.exprs[i];
    if (!is_reduce(e.op) || plan_.pass[i] != pass) {
      continue;
    }
    const ExprId id = static_cast<ExprId>(i);
    Accumulator a;
    a.reduce = id;
    a.vector = plan_.row_mode || plan_.varies(id);
    const Partial zero = identity(id, a.vector ? plan_.lanes : 0);
    const auto make = [&](std::vector<llvm::AllocaInst*>& list, Value* initial) {
      list.push_back(local(initial->getType()));
      b.CreateStore(initial, list.back());
    };
    for (int c = 0; c < (a.vector ? copies : 1); ++c) {
      make(a.values, zero.value);
      if (zero.index) {
        make(a.indices, zero.index);
      }
      if (flush_dim_ >= 0 && e.op == Op::kReduceSum && is_float(e.dtype)) {
        make(a.totals, zero.value);
      }
    }
    accumulators_.push_back(std::move(a));
  }
}

void Emitter::accumulate(int /*pass*/, int copies) {
  struct Step {
    Accumulator* a;
    int copy;
    Partial next;
  };
  std::vector<Step> steps;
  for (Accumulator& a : accumulators_) {
    const ExprId operand = plan_.loop.exprs[a.reduce].a;
    for (int c = 0; c < (a.vector ? copies : 1); ++c) {
      Partial p;
      p.value = a.vector ? vector_value(operand, c) : value(operand, c);
      if (!a.indices.empty()) {
        p.index = affine_value(linear_affine_, level_, c);
        if (a.vector && Alu::lanes_of(p.index) == 0) {
          p.index = splat(p.index);
        }
      }
      steps.push_back({&a, c, p});
    }
  }
  for (Step& s : steps) {
    llvm::AllocaInst* value_memory = s.a->values[s.copy];
    Partial old{b.CreateLoad(value_memory->getAllocatedType(), value_memory), nullptr};
    if (!s.a->indices.empty()) {
      old.index = b.CreateLoad(s.next.index->getType(), s.a->indices[s.copy]);
    }
    Partial now = fold(s.a->reduce, old, s.next);
    // Row mode: lanes outside of the row keep what they have. In column mode they are other columns and never stored.
    const bool masked = mask_ && plan_.row_mode;
    b.CreateStore(masked ? b.CreateSelect(mask_, now.value, old.value) : now.value, value_memory);
    if (now.index) {
      b.CreateStore(masked ? b.CreateSelect(mask_, now.index, old.index) : now.index, s.a->indices[s.copy]);
    }
  }
}

// Ends a run (Note [Numerics]).
void Emitter::flush_totals(int copies) {
  for (Accumulator& a : accumulators_) {
    for (size_t c = 0; c < a.totals.size() && c < static_cast<size_t>(copies); ++c) {
      Type* t = a.values[c]->getAllocatedType();
      Value* sum = b.CreateFAdd(b.CreateLoad(t, a.totals[c]), b.CreateLoad(t, a.values[c]));
      b.CreateStore(sum, a.totals[c]);
      b.CreateStore(llvm::Constant::getNullValue(t), a.values[c]);
    }
  }
}

// Folds the lanes of a vector, halves onto halves.
Emitter::Partial Emitter::fold_lanes(ExprId id, Partial x) {
  for (int n = Alu::lanes_of(x.value); n > 1; n /= 2) {
    llvm::SmallVector<int, 32> low, high;
    for (int i = 0; i < n / 2; ++i) {
      low.push_back(i);
      high.push_back(n / 2 + i);
    }
    const auto part = [&](Value* v, llvm::ArrayRef<int> lanes) { return v ? b.CreateShuffleVector(v, lanes) : nullptr; };
    x = fold(id, {part(x.value, low), part(x.index, low)}, {part(x.value, high), part(x.index, high)});
  }
  x.value = b.CreateExtractElement(x.value, uint64_t{0});
  x.index = x.index ? b.CreateExtractElement(x.index, uint64_t{0}) : nullptr;
  return x;
}

// What the expression yields. No index: nothing was better than the worst value, which is then everywhere.
Value* Emitter::result(ExprId id, Partial p) {
  if (!is_arg_reduce(plan_.loop.exprs[id].op)) {
    return p.value;
  }
  Type* t = p.index->getType();
  Value* none = b.CreateICmpEQ(p.index, alu_.constant(t, std::numeric_limits<int64_t>::max()));
  return b.CreateSelect(none, llvm::Constant::getNullValue(t), p.index);
}

void Emitter::finish_accumulators(int copies) {
  for (Accumulator& a : accumulators_) {
    std::vector<Partial> parts;
    for (size_t c = 0; c < a.values.size(); ++c) {
      Partial p{b.CreateLoad(a.values[c]->getAllocatedType(), a.values[c]), nullptr};
      if (!a.indices.empty()) {
        p.index = b.CreateLoad(a.indices[c]->getAllocatedType(), a.indices[c]);
      }
      if (!a.totals.empty()) {
        p.value = b.CreateFAdd(b.CreateLoad(p.value->getType(), a.totals[c]), p.value);
      }
      parts.push_back(p);
    }
    if (plan_.row_mode) {
      for (; parts.size() > 1; parts.resize(parts.size() / 2)) {
        for (size_t i = 0; i < parts.size() / 2; ++i) {
          parts[i] = fold(a.reduce, parts[i], parts[i + parts.size() / 2]);
        }
      }
      parts[0] = fold_lanes(a.reduce, parts[0]);
    }
    for (size_t c = 0; c < parts.size(); ++c) {
      if (phase_.chunked) {
        store_partial(a.reduce, static_cast<int>(c), parts[c]);
      } else {
        scopes_[item_level_].values[{a.reduce, static_cast<int>(c)}] = result(a.reduce, parts[c]);
      }
    }
  }
  accumulators_.clear();
  flush_dim_ = -1;
}

// Partials lie as [chunk][kept dims in loop order].
Value* Emitter::partial_pointer(int access, int copy, Value* chunk) {
  const Access& a = accesses_[access];
  const int64_t itemsize = static_cast<int64_t>(c10::elementSize(a.dtype));
  Value* p = byte_offset(pointer(access, item_level_), chunk, plan_.kept_points() * itemsize);
  return byte_offset(p, b.getInt64(copy * plan_.lanes * a.strides[plan_.vector_dim]), itemsize);
}

void Emitter::store_partial(ExprId id, int copy, Partial p) {
  const auto put = [&](int access, Value* v) {
    const Access& a = accesses_[access];
    Value* at = partial_pointer(access, copy, chunk_);
    Value* raw = to_memory(v, a.dtype);
    if (Alu::lanes_of(v) > 0) {
      store_vector(at, a.dtype, raw);
    } else {
      b.CreateStore(raw, at);
    }
  };
  put(partial_access_[id], p.value);
  if (p.index) {
    put(partial_index_access_[id], p.index);
  }
}

Value* Emitter::total_of_partials(ExprId id, int copy) {
  const bool vector = !plan_.row_mode && plan_.varies(id);
  const Partial zero = identity(id, vector ? plan_.lanes : 0);
  llvm::AllocaInst* value_memory = local(zero.value->getType());
  llvm::AllocaInst* index_memory = zero.index ? local(zero.index->getType()) : nullptr;
  b.CreateStore(zero.value, value_memory);
  if (index_memory) {
    b.CreateStore(zero.index, index_memory);
  }
  const auto get = [&](int access, Value* chunk) {
    const Access& a = accesses_[access];
    Value* at = partial_pointer(access, copy, chunk);
    return from_memory(vector ? load_vector(at, a.dtype) : b.CreateLoad(memory_type(a.dtype), at), a.dtype);
  };
  const auto load_state = [&] {
    return Partial{b.CreateLoad(zero.value->getType(), value_memory),
                   index_memory ? b.CreateLoad(zero.index->getType(), index_memory) : nullptr};
  };
  pointer(partial_access_[id], item_level_);  // before the loop, not inside
  if (index_memory) {
    pointer(partial_index_access_[id], item_level_);
  }
  counted_loop(b.getInt64(0), b.getInt64(plan_.chunks), 1, [&](Value* chunk) {
    Partial y{get(partial_access_[id], chunk), index_memory ? get(partial_index_access_[id], chunk) : nullptr};
    const Partial sum = fold(id, load_state(), y);
    b.CreateStore(sum.value, value_memory);
    if (index_memory) {
      b.CreateStore(sum.index, index_memory);
    }
  });
  return result(id, load_state());
}

}  // namespace torch_hpu::codegen
