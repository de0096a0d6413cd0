// Functions, segments and loops.
//
// Items are numbered with the block of columns (column mode) innermost, the outer kept dims before it, the chunk (split plans)
// outermost. A function turns `begin` into coordinates once, then counts them up like an odometer, a segment at a time: in
// column mode a run of blocks that differ in nothing else, in row mode a row.
#include <c10/util/Exception.h>
#include <llvm/IR/Verifier.h>

#include "csrc/codegen/emitter.h"
#include "csrc/codegen/host.h"

namespace torch_hpu::codegen {

std::vector<Phase> phases(const Plan& plan) {
  bool row_stores = false;
  for (const Store& s : plan.loop.stores) {
    row_stores = row_stores || !is_point_store(plan, s);
  }
  if (plan.split_dim < 0) {
    return {{1, plan.passes, plan.point_stores, row_stores, false}};
  }
  std::vector<Phase> list;
  for (int p = 1; p <= plan.passes; ++p) {
    list.push_back({p, p, false, false, true});
  }
  if (plan.point_stores) {
    list.push_back({1, 0, true, false, true});
  }
  if (row_stores) {
    list.push_back({1, 0, false, true, false});
  }
  return list;
}

int64_t phase_items(const Plan& plan, const Phase& phase) {
  return plan.items() * (phase.chunked ? plan.chunks : 1);
}

// Saved expressions lie as [reduced dims in loop order]; in column mode a block of columns at each.
static DimVector saved_coefs(const Plan& plan) {
  DimVector coefs(plan.rank(), 0);
  int64_t step = plan.row_mode ? 1 : plan.block();
  for (int d = plan.rank() - 1; d >= plan.kept(); --d) {
    const int64_t n = plan.loop.sizes[d];
    coefs[d] = step;
    step *= plan.row_mode && d == plan.vector_dim ? (n + plan.lanes - 1) / plan.lanes * plan.lanes : n;
  }
  return coefs;
}

Emitter::Emitter(const Plan& plan, llvm::Module& module)
    : plan_(plan),
      module_(module),
      b(module.getContext()),
      alu_(b, [this](Value* bad, Fault kind) { fault(bad, kind); }),
      partials_(partials_layout(plan)),
      accesses_(plan.loop.accesses),
      affines_(plan.affines),
      item_level_(plan.row_mode ? 1 : 2) {
  llvm::FastMathFlags flags;
  flags.setAllowContract();
  b.setFastMathFlags(flags);
  linear_affine_ = static_cast<int>(affines_.size());
  affines_.push_back({0, plan.linear});
  saved_affine_ = static_cast<int>(affines_.size());
  affines_.push_back({0, saved_coefs(plan)});
  const size_t n = plan.loop.exprs.size();
  const uint64_t kept_bits = (uint64_t{1} << plan.kept()) - 1;
  for (size_t i = 0; i < n; ++i) {
    const uint64_t bits = plan.dims[i];
    int level = (bits & kept_bits) != 0 ? 1 : 0;
    if (plan.pass[i] > 0 || (!plan.row_mode && plan.varies(static_cast<ExprId>(i)))) {
      level = item_level_;
    }
    for (int d = plan.kept(); d < plan.rank(); ++d) {
      if ((bits >> d & 1) != 0) {
        level = item_level_ + 1 + d - plan.kept();
      }
    }
    level_of_.push_back(level);
  }
  saved_slot_.assign(n, -1);
  for (size_t i = 0; i < plan.saved.size(); ++i) {
    saved_slot_[plan.saved[i].expr] = static_cast<int>(i);
  }
  partial_access_.assign(n, -1);
  partial_index_access_.assign(n, -1);
  for (size_t i = 0; i < n; ++i) {
    const auto add_access = [&](c10::ScalarType dtype, int64_t byte_offset) {
      Access a; // row major over the kept dims; what does not vary along one of them is written more than once
      a.dtype = dtype;
      a.offset = byte_offset;
      a.strides = DimVector(plan.rank(), 0);
      int64_t step = 1;
      for (int d = plan.kept() - 1; d >= 0; --d) {
        a.strides[d] = (plan.dims[i] >> d & 1) != 0 ? step : 0;
        step *= plan.loop.sizes[d];
      }
      accesses_.push_back(a);
      return static_cast<int>(accesses_.size() - 1);
    };
    if (partials_.value[i] >= 0) {
      partial_access_[i] = add_access(plan.loop.exprs[plan.loop.exprs[i].a].dtype, partials_.value[i]);
    }
    if (partials_.index[i] >= 0) {
      partial_index_access_[i] = add_access(c10::ScalarType::Long, partials_.index[i]);
    }
  }
}

void Emitter::emit(const std::string& name, const Phase& phase) {
  phase_ = phase;
  begin_function(name);
  segments();
  end_function();
}

void Emitter::begin_function(const std::string& name) {
  Type* i64 = b.getInt64Ty();
  Type* ptr = b.getPtrTy();
  auto* type = llvm::FunctionType::get(b.getVoidTy(), {i64, i64, ptr, ptr, ptr, ptr, ptr}, false);
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, name, module_);
  function_->setDoesNotThrow();
  function_->addFnAttr("target-cpu", host().cpu);
  function_->addFnAttr("target-features", host().features);
  function_->addFnAttr("prefer-vector-width", std::to_string(plan_.vector_bytes * 8));
  Value** args[] = {&begin_, &end_, &pointers_, &offsets_, &scalars_, &faults_, &partial_memory_};
  for (size_t i = 0; i < std::size(args); ++i) {
    *args[i] = function_->getArg(static_cast<unsigned>(i));
  }
  scopes_.clear();
  scopes_.emplace_back();
  level_ = 0;
  mask_ = nullptr;
  chunk_ = nullptr;
  coords_.assign(plan_.rank(), nullptr);
  b.SetInsertPoint(llvm::BasicBlock::Create(module_.getContext(), "entry", function_));
  for (llvm::AllocaInst*& flag : fault_flags_) {
    flag = local(b.getInt1Ty());
    b.CreateStore(b.getFalse(), flag);
  }
  saved_memory_.clear();
  for (const Saved& s : plan_.saved) {
    saved_memory_.push_back(local(llvm::ArrayType::get(alu_.type_of(plan_.loop.exprs[s.expr].dtype), plan_.saved_stride)));
  }
  rng_offset_ = nullptr;
  random_keys_.clear();
  open_hoist(0);
}

// On the stack of the function. Scalars and vectors become registers.
llvm::AllocaInst* Emitter::local(Type* type) {
  llvm::BasicBlock& entry = function_->getEntryBlock();
  llvm::IRBuilder<> at_entry(&entry, entry.begin());
  llvm::AllocaInst* memory = at_entry.CreateAlloca(type);
  if (type->isArrayTy()) {
    memory->setAlignment(llvm::Align(64));
  }
  return memory;
}

void Emitter::end_function() {
  for (int kind = 0; kind < 2; ++kind) {
    auto* yes = llvm::BasicBlock::Create(module_.getContext(), "fault", function_);
    auto* next = llvm::BasicBlock::Create(module_.getContext(), "next", function_);
    b.CreateCondBr(b.CreateLoad(b.getInt1Ty(), fault_flags_[kind]), yes, next);
    b.SetInsertPoint(yes);
    b.CreateStore(b.getInt8(1), b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), faults_, kind));
    b.CreateBr(next);
    b.SetInsertPoint(next);
  }
  b.CreateRetVoid();
  close_hoist(0);
}

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

// The odometer. One turn is one segment.
void Emitter::segments() {
  struct Wheel {
    int dim; // -1: the chunk
    int64_t size;
    llvm::AllocaInst* position;
  };
  std::vector<Wheel> wheels;
  const auto add_wheel = [&](int dim, int64_t size) { wheels.push_back({dim, size, local(b.getInt64Ty())}); };
  if (phase_.chunked) {
    add_wheel(-1, plan_.chunks);
  }
  for (int d = 0; d < plan_.kept() - (plan_.row_mode ? 0 : 1); ++d) {
    add_wheel(d, plan_.loop.sizes[d]);
  }
  const int64_t size = plan_.loop.sizes[plan_.vector_dim];
  const int64_t blocks = plan_.row_mode ? 1 : (size + plan_.block() - 1) / plan_.block();

  Value* rest = begin_;
  Value* first_block = b.getInt64(0);
  if (blocks > 1) {
    first_block = wheels.empty() ? rest : b.CreateURem(rest, b.getInt64(blocks));
    rest = wheels.empty() ? rest : b.CreateUDiv(rest, b.getInt64(blocks));
  }
  for (size_t w = wheels.size(); w-- > 0;) {
    b.CreateStore(w == 0 ? rest : b.CreateURem(rest, b.getInt64(wheels[w].size)), wheels[w].position);
    rest = w == 0 ? rest : b.CreateUDiv(rest, b.getInt64(wheels[w].size));
  }
  llvm::AllocaInst* block = local(b.getInt64Ty());
  b.CreateStore(first_block, block);

  auto& context = module_.getContext();
  auto* before = b.GetInsertBlock();
  auto* loop = llvm::BasicBlock::Create(context, "segment", function_);
  auto* exit = llvm::BasicBlock::Create(context, "done", function_);
  b.CreateCondBr(b.CreateICmpSLT(begin_, end_), loop, exit);
  b.SetInsertPoint(loop);
  llvm::PHINode* it = b.CreatePHI(b.getInt64Ty(), 2);
  it->addIncoming(begin_, before);
  scopes_.emplace_back();
  level_ = 1;
  for (const Wheel& w : wheels) {
    Value* position = b.CreateLoad(b.getInt64Ty(), w.position);
    (w.dim < 0 ? chunk_ : coords_[w.dim]) = position;
  }
  Value* count = b.getInt64(1);
  if (plan_.row_mode) {
    item(plan_.unroll);
  } else {
    Value* at = b.CreateLoad(b.getInt64Ty(), block);
    count = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b.CreateSub(end_, it), b.CreateSub(b.getInt64(blocks), at));
    Value* x = b.CreateMul(at, b.getInt64(plan_.block()));
    Value* stop = b.CreateAdd(x, b.CreateMul(count, b.getInt64(plan_.block())));
    columns(x, b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, stop, b.getInt64(size)));
    b.CreateStore(b.getInt64(0), block);
  }
  scopes_.pop_back();
  level_ = 0;
  Value* carry = b.getTrue();
  for (size_t w = wheels.size(); w-- > 0;) {
    Value* position = b.CreateAdd(b.CreateLoad(b.getInt64Ty(), wheels[w].position), b.CreateZExt(carry, b.getInt64Ty()));
    Value* over = b.CreateICmpEQ(position, b.getInt64(wheels[w].size));
    b.CreateStore(b.CreateSelect(over, b.getInt64(0), position), wheels[w].position);
    carry = over;
  }
  Value* next = b.CreateAdd(it, count);
  it->addIncoming(next, b.GetInsertBlock());
  b.CreateCondBr(b.CreateICmpSLT(next, end_), loop, exit);
  b.SetInsertPoint(exit);
}

// Column mode: blocks of columns from `begin` (a multiple of the block) to `end`.
void Emitter::columns(Value* begin, Value* end) {
  const int64_t size = plan_.loop.sizes[plan_.vector_dim];
  Value* full = b.CreateAnd(end, b.getInt64(-plan_.block()));
  open_hoist(1);
  if (size >= plan_.block()) {
    dim_loop(plan_.vector_dim, begin, full, plan_.block(), [&](Value*) { item(plan_.unroll); });
  }
  if (size % plan_.block() != 0) {
    Value* from = size >= plan_.block() ? b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, begin, full) : begin;
    dim_loop(plan_.vector_dim, from, end, plan_.lanes, [&](Value* x) {
      mask_ = size % plan_.lanes != 0 ? mask_from(x, end) : nullptr;
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
  const int64_t length = cut ? plan_.chunk : plan_.loop.sizes[dim]; // at most
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

} // namespace torch_hpu::codegen
