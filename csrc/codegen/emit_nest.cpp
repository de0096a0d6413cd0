// Loops, walks, and what happens at a point.
#include <c10/util/Exception.h>

#include "csrc/codegen/emitter.h"

namespace torch_hpu::codegen {

void Emitter::open_hoist(int level) {
  Scope& s = scopes_[level];
  s.hoist = b.GetInsertBlock();
  s.inside = llvm::BasicBlock::Create(module_.getContext(), "", function_);
  b.SetInsertPoint(s.inside);
}

void Emitter::close_hoist(int level) {
  Scope& s = scopes_[level];
  llvm::BasicBlock* here = b.GetInsertBlock();
  b.SetInsertPoint(s.hoist);
  b.CreateBr(s.inside);
  b.SetInsertPoint(here);
  s.hoist = nullptr;
}

// for (i = begin; i < end; i += step)
void Emitter::counted_loop(Value* begin, Value* end, int64_t step, const Body& body) {
  auto& context = module_.getContext();
  auto* before = b.GetInsertBlock();
  auto* loop = llvm::BasicBlock::Create(context, "loop", function_);
  auto* exit = llvm::BasicBlock::Create(context, "exit", function_);
  b.CreateCondBr(b.CreateICmpSLT(begin, end), loop, exit);
  b.SetInsertPoint(loop);
  llvm::PHINode* i = b.CreatePHI(b.getInt64Ty(), 2);
  i->addIncoming(begin, before);
  body(i);
  Value* next = b.CreateAdd(i, b.getInt64(step), "", /*HasNUW=*/true, /*HasNSW=*/true);
  i->addIncoming(next, b.GetInsertBlock());
  b.CreateCondBr(b.CreateICmpSLT(next, end), loop, exit);
  b.SetInsertPoint(exit);
}

// A loop over `dim`, whose body is one level further in.
void Emitter::dim_loop(int dim, Value* begin, Value* end, int64_t step, const Body& body) {
  counted_loop(begin, end, step, [&](Value* i) {
    coords_[dim] = i;
    scopes_.emplace_back();
    ++level_;
    body(i);
    --level_;
    scopes_.pop_back();
    coords_[dim] = nullptr;
  });
}

// Column mode: blocks of columns from `begin` (a multiple of the block) to `end`.
void Emitter::columns(Value* begin, Value* end) {
  const int64_t size = plan_.loop.sizes[plan_.vector_dim];
  Value* full = b.CreateAnd(end, b.getInt64(-plan_.block()));
  open_hoist(1);
  if (size >= plan_.block()) {
    dim_loop(plan_.vector_dim, begin, full, plan_.block(), [&](Value*) { item(plan_.unroll); });
  }
  if (plan_.flat || size % plan_.block() != 0) {
    Value* from = size >= plan_.block() ? b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, begin, full) : begin;
    dim_loop(plan_.vector_dim, from, end, plan_.lanes, [&](Value* x) {
      mask_ = plan_.flat || size % plan_.lanes != 0 ? mask_from(x, end) : nullptr;
      item(1);
      mask_ = nullptr;
    });
  }
  close_hoist(1);
}

// Lanes x + 0, x + 1, ... that lie before `end`.
Value* Emitter::mask_from(Value* x, Value* end) {
  llvm::SmallVector<llvm::Constant*, 64> lane;
  for (int i = 0; i < plan_.lanes; ++i) {
    lane.push_back(b.getInt32(static_cast<uint32_t>(i)));
  }
  active_lanes_ = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b.CreateSub(end, x), b.getInt64(plan_.lanes));
  Value* left = b.CreateTrunc(active_lanes_, b.getInt32Ty());
  return b.CreateICmpULT(llvm::ConstantVector::get(lane), b.CreateVectorSplat(static_cast<unsigned>(plan_.lanes), left));
}

void Emitter::item(int copies) {
  for (int pass = phase_.first_pass; pass <= phase_.last_pass; ++pass) {
    start_accumulators(pass, copies);
    walk(pass, copies);
    finish_accumulators(copies);
  }
  if (phase_.point_walk) {
    walk(plan_.passes + 1, copies);
  }
  if (phase_.row_stores) {
    // All values first: a store may overwrite what a later value loads.
    std::vector<std::vector<Value*>> values;
    for (const Store& s : plan_.loop.stores) {
      values.emplace_back();
      if (is_point_store(plan_, s)) {
        continue;
      }
      for (int c = 0; c < (store_varies(s) ? copies : 1); ++c) {
        values.back().push_back(store_varies(s) ? vector_value(s.value, c) : value(s.value, 0));
      }
    }
    for (size_t i = 0; i < values.size(); ++i) {
      for (size_t c = 0; c < values[i].size(); ++c) {
        store(plan_.loop.stores[i], static_cast<int>(c), values[i][c]);
      }
    }
  }
}

void Emitter::walk(int pass, int copies) {
  walk_ = pass;
  if (plan_.reduced() == 0) {
    leaf(pass, copies);
  } else if (plan_.reduced_points() > 0) {
    nest(pass, plan_.kept(), copies);
  }
}

void Emitter::nest(int pass, int dim, int copies) {
  if (dim == plan_.rank()) {
    leaf(pass, copies);
    return;
  }
  Value* begin = b.getInt64(0);
  Value* end = b.getInt64(plan_.loop.sizes[dim]);
  const bool cut = phase_.chunked && dim == plan_.split_dim;
  const bool vectors = plan_.row_mode && dim == plan_.vector_dim;
  if (cut) {
    begin = b.CreateMul(chunk_, b.getInt64(plan_.chunk));
    end = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b.CreateAdd(begin, b.getInt64(plan_.chunk)), end);
  }
  const int64_t step = vectors ? plan_.block() : 1;
  const int64_t length = cut ? plan_.chunk : plan_.loop.sizes[dim];  // at most
  Value* full = vectors ? b.CreateAdd(begin, b.CreateAnd(b.CreateSub(end, begin), b.getInt64(-step))) : end;
  const Body inside = [&](Value*) { nest(pass, dim + 1, copies); };
  open_hoist(level_);
  const int level = level_;
  if (length >= step) {
    if (dim == flush_dim_) {
      const int64_t stride = flush_every_ * step;
      counted_loop(begin, full, stride, [&](Value* i) {
        Value* stop = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b.CreateAdd(i, b.getInt64(stride)), full);
        dim_loop(dim, i, stop, step, inside);
        flush_totals(copies);
      });
    } else {
      dim_loop(dim, begin, full, step, inside);
    }
  }
  if (vectors && plan_.loop.sizes[dim] % step != 0) {
    dim_loop(dim, full, end, plan_.lanes, [&](Value* x) {
      mask_ = plan_.loop.sizes[dim] % plan_.lanes != 0 ? mask_from(x, end) : nullptr;
      nest(pass, dim + 1, 1);
      mask_ = nullptr;
    });
  }
  close_hoist(level);
}

// What happens at a point of a walk: all values first, then all stores, so that the copies overlap.
void Emitter::leaf(int pass, int copies) {
  for (size_t i = 0; i < plan_.saved.size(); ++i) {
    if (plan_.saved[i].pass == pass) {
      for (int c = 0; c < copies; ++c) {
        save(static_cast<int>(i), c, value(plan_.saved[i].expr, c));
      }
    }
  }
  if (pass <= plan_.passes) {
    accumulate(pass, copies);
    return;
  }
  std::vector<std::vector<Value*>> values;
  for (const Store& s : plan_.loop.stores) {
    values.emplace_back();
    if (!is_point_store(plan_, s)) {
      continue;
    }
    for (int c = 0; c < (store_varies(s) ? copies : 1); ++c) {
      values.back().push_back(store_varies(s) ? vector_value(s.value, c) : value(s.value, 0));
      if (s.at != kNoExpr) {
        value(s.at, c);
      }
    }
  }
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t c = 0; c < values[i].size(); ++c) {
      store(plan_.loop.stores[i], static_cast<int>(c), values[i][c]);
    }
  }
}

}  // namespace torch_hpu::codegen
