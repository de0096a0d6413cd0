// Functions and segments.
//
// Items are numbered with the block of columns (column mode) innermost, the outer kept dims before it, the chunk (split plans)
// outermost. A function turns `begin` into coordinates once, then counts them up like an odometer, a segment at a time: in
// column mode a run of blocks that differ in nothing else, in row mode a row.
#include <c10/util/Exception.h>

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
      Access a;  // row major over the kept dims; what does not vary along one of them is written more than once
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

// The odometer. One turn is one segment. Flat loops have one, from begin to end.
void Emitter::segments() {
  if (plan_.flat) {
    scopes_.emplace_back();
    level_ = 1;
    columns(begin_, end_);
    scopes_.pop_back();
    level_ = 0;
    return;
  }
  struct Wheel {
    int dim;  // -1: the chunk
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

}  // namespace torch_hpu::codegen
