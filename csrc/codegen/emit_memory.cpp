// Loads and stores. Bool is a byte; Half and BFloat16 are Float in registers. A vector whose last lanes lie outside of the
// vector dim is moved under a mask where the host can do that, through a local buffer where it cannot.
#include <c10/core/ScalarType.h>

#include "csrc/codegen/emitter.h"
#include "csrc/codegen/host.h"

namespace torch_hpu::codegen {

using c10::ScalarType;

static int64_t itemsize_of(ScalarType t) {
  return static_cast<int64_t>(c10::elementSize(t));
}

Type* Emitter::memory_type(ScalarType memory) {
  switch (memory) {
    case ScalarType::Bool:
      return b.getInt8Ty();
    case ScalarType::Half:
    case ScalarType::BFloat16:
      return b.getInt16Ty();
    default:
      return alu_.type_of(memory);
  }
}

Value* Emitter::from_memory(Value* raw, ScalarType memory) {
  const int lanes = Alu::lanes_of(raw);
  Type* real = Alu::with_lanes(b.getFloatTy(), lanes);
  switch (memory) {
    case ScalarType::Bool:
      return b.CreateIsNotNull(raw);
    case ScalarType::Half:
      if (!host().f16c) {
        llvm::AllocaInst *from = local(raw->getType()), *to = local(real);
        b.CreateStore(raw, from);
        b.CreateCall(module_.getOrInsertFunction("hpu_half_to_float", b.getVoidTy(), b.getPtrTy(), b.getPtrTy(), b.getInt64Ty()),
                     {from, to, b.getInt64(std::max(lanes, 1))});
        return b.CreateLoad(real, to);
      }
      return b.CreateFPExt(b.CreateBitCast(raw, Alu::with_lanes(b.getHalfTy(), lanes)), real);
    case ScalarType::BFloat16:
      return b.CreateBitCast(b.CreateShl(b.CreateZExt(raw, Alu::with_lanes(b.getInt32Ty(), lanes)), 16), real);
    default:
      return raw;
  }
}

Value* Emitter::to_memory(Value* v, ScalarType memory) {
  const int lanes = Alu::lanes_of(v);
  Type* t = Alu::with_lanes(memory_type(memory), lanes);
  switch (memory) {
    case ScalarType::Bool:
      return b.CreateZExt(v, t);
    case ScalarType::Half:
      if (!host().f16c) {
        llvm::AllocaInst *from = local(v->getType()), *to = local(t);
        b.CreateStore(v, from);
        b.CreateCall(module_.getOrInsertFunction("hpu_float_to_half", b.getVoidTy(), b.getPtrTy(), b.getPtrTy(), b.getInt64Ty()),
                     {from, to, b.getInt64(std::max(lanes, 1))});
        return b.CreateLoad(t, to);
      }
      return b.CreateBitCast(b.CreateFPTrunc(v, Alu::with_lanes(b.getHalfTy(), lanes)), t);
    case ScalarType::BFloat16: {  // to nearest even; the host's instruction would flush denormals
      Type* word = Alu::with_lanes(b.getInt32Ty(), lanes);
      Value* bits = b.CreateBitCast(v, word);
      Value* odd = b.CreateAnd(b.CreateLShr(bits, 16), alu_.constant(word, int64_t{1}));
      Value* rounded = b.CreateLShr(b.CreateAdd(bits, b.CreateAdd(odd, alu_.constant(word, int64_t{0x7FFF}))), 16);
      return b.CreateTrunc(b.CreateSelect(b.CreateFCmpUNO(v, v), alu_.constant(word, int64_t{0x7FC0}), rounded), t);
    }
    default:
      return v;
  }
}

Value* Emitter::byte_offset(Value* p, Value* elements, int64_t itemsize) {
  return b.CreateGEP(b.getInt8Ty(), p, b.CreateMul(elements, b.getInt64(itemsize)));
}

// The address of an access, with every coordinate that is known at `level`.
Value* Emitter::pointer(int access, int level) {
  if (Value* known = scopes_[level].pointers.lookup(access)) {
    return known;
  }
  const Access& a = accesses_[access];
  Value* outer = level == 0 ? nullptr : pointer(access, level - 1);
  Value* p = at_level(level, [&]() -> Value* {
    if (level == 0) {
      if (a.buffer == ir::kNone) {  // partial results of a split plan
        return b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), partial_memory_, a.offset);
      }
      Value* base = b.CreateLoad(b.getPtrTy(), b.CreateConstInBoundsGEP1_64(b.getPtrTy(), pointers_, a.buffer));
      Value* offset = b.getInt64(a.offset);
      if (a.dynamic != ir::kNone) {
        Value* dynamic = b.CreateLoad(b.getInt64Ty(), b.CreateConstInBoundsGEP1_64(b.getInt64Ty(), offsets_, a.dynamic));
        offset = b.CreateAdd(dynamic, offset);
      }
      return byte_offset(base, offset, itemsize_of(a.dtype));
    }
    Value* sum = outer;
    for (int d = 0; d < plan_.rank(); ++d) {
      if (a.strides[d] != 0 && level_of_dim(d) == level) {
        sum = byte_offset(sum, coords_[d], a.strides[d] * itemsize_of(a.dtype));
      }
    }
    return sum;
  });
  scopes_[level].pointers[access] = p;
  return p;
}

bool Emitter::store_varies(const Store& s) const {
  return plan_.varies(s.value) || (s.at != kNoExpr && plan_.varies(s.at)) || plan_.loop.accesses[s.access].strides[plan_.vector_dim] != 0;
}

// Lane numbers times stride.
static llvm::Constant* lane_offsets(llvm::IRBuilder<>& b, int lanes, int64_t stride) {
  llvm::SmallVector<llvm::Constant*, 64> index;
  for (int64_t i = 0; i < lanes; ++i) {
    index.push_back(b.getInt64(i * stride));
  }
  return llvm::ConstantVector::get(index);
}

Value* Emitter::load(int access, int level, int copy, ExprId at) {
  const Access& a = accesses_[access];
  const int64_t stride = a.strides[plan_.vector_dim];
  Value* p = pointer(access, level);
  const bool at_varies = at != kNoExpr && plan_.varies(at);
  if (at != kNoExpr && !at_varies) {
    p = byte_offset(p, value(at, 0), itemsize_of(a.dtype));
  }
  if (stride == 0 && !at_varies) {
    return from_memory(b.CreateAlignedLoad(memory_type(a.dtype), p, llvm::Align(itemsize_of(a.dtype))), a.dtype);
  }
  p = byte_offset(p, b.getInt64(copy * plan_.lanes * stride), itemsize_of(a.dtype));
  if (!at_varies && stride == 1) {
    return from_memory(load_vector(p, a.dtype), a.dtype);
  }
  if (!at_varies && stride == -1 && !mask_) {
    p = byte_offset(p, b.getInt64(1 - plan_.lanes), itemsize_of(a.dtype));
    return from_memory(b.CreateVectorReverse(load_vector(p, a.dtype)), a.dtype);
  }
  Value* index = lane_offsets(b, plan_.lanes, stride);
  if (at_varies) {
    index = b.CreateAdd(value(at, copy), index);
  }
  return from_memory(gather(p, index, a.dtype), a.dtype);
}

void Emitter::store(const Store& s, int copy, Value* v) {
  const Access& a = accesses_[s.access];
  const int64_t stride = a.strides[plan_.vector_dim];
  Value* p = pointer(static_cast<int>(s.access), level_);
  v = to_memory(v, a.dtype);
  const bool at_varies = s.at != kNoExpr && plan_.varies(s.at);
  if (s.at != kNoExpr && !at_varies) {
    p = byte_offset(p, value(s.at, 0), itemsize_of(a.dtype));
  }
  if (Alu::lanes_of(v) == 0) {
    b.CreateAlignedStore(v, p, llvm::Align(itemsize_of(a.dtype)));
    return;
  }
  p = byte_offset(p, b.getInt64(copy * plan_.lanes * stride), itemsize_of(a.dtype));
  if (!at_varies && stride == 1) {
    store_vector(p, a.dtype, v);
    return;
  }
  Value* index = lane_offsets(b, plan_.lanes, stride);
  if (at_varies) {
    index = b.CreateAdd(value(s.at, copy), index);
  }
  scatter(p, index, a.dtype, v);
}

bool Emitter::masked_moves(int64_t itemsize) const {
  return host().avx512 || (host().avx2 && itemsize >= 4);
}

// `lanes` elements of the memory's type, next to each other; zero outside of the mask.
Value* Emitter::load_vector(Value* p, ScalarType memory) {
  const int64_t itemsize = itemsize_of(memory);
  const llvm::Align align(itemsize);
  Type* t = Alu::with_lanes(memory_type(memory), plan_.lanes);
  if (!mask_) {
    return b.CreateAlignedLoad(t, p, align);
  }
  if (masked_moves(itemsize)) {
    return b.CreateMaskedLoad(t, p, align, mask_, llvm::Constant::getNullValue(t));
  }
  llvm::AllocaInst* buffer = local(t);
  b.CreateStore(llvm::Constant::getNullValue(t), buffer);
  b.CreateMemCpy(buffer, align, p, align, b.CreateMul(active_lanes_, b.getInt64(itemsize)));
  return b.CreateLoad(t, buffer);
}

void Emitter::store_vector(Value* p, ScalarType memory, Value* v) {
  const int64_t itemsize = itemsize_of(memory);
  const llvm::Align align(itemsize);
  if (!mask_) {
    b.CreateAlignedStore(v, p, align);
  } else if (masked_moves(itemsize)) {
    b.CreateMaskedStore(v, p, align, mask_);
  } else {
    llvm::AllocaInst* buffer = local(v->getType());
    b.CreateStore(v, buffer);
    b.CreateMemCpy(p, align, buffer, align, b.CreateMul(active_lanes_, b.getInt64(itemsize)));
  }
}

// Elements p[index]. Lanes outside of the mask read what the first lane reads, which is always inside.
Value* Emitter::gather(Value* p, Value* index, ScalarType memory) {
  Type* t = memory_type(memory);
  if (mask_) {
    index = b.CreateSelect(mask_, index, splat(b.CreateExtractElement(index, uint64_t{0})));
  }
  Value* addresses = b.CreateGEP(t, p, index);
  return b.CreateMaskedGather(Alu::with_lanes(t, plan_.lanes), addresses, llvm::Align(itemsize_of(memory)));
}

void Emitter::scatter(Value* p, Value* index, ScalarType memory, Value* v) {
  b.CreateMaskedScatter(v, b.CreateGEP(memory_type(memory), p, index), llvm::Align(itemsize_of(memory)), mask_);
}

// Where the current point of a saved expression lies.
Value* Emitter::saved_pointer(int slot, int copy) {
  Value* index = b.CreateAdd(affine_scalar(saved_affine_, level_), b.getInt64(int64_t{copy} * plan_.lanes));
  return b.CreateGEP(alu_.type_of(plan_.loop.exprs[plan_.saved[slot].expr].dtype), saved_memory_[slot], index);
}

void Emitter::save(int slot, int copy, Value* v) {
  const ScalarType dtype = plan_.loop.exprs[plan_.saved[slot].expr].dtype;
  b.CreateAlignedStore(v, saved_pointer(slot, copy), llvm::Align(c10::elementSize(dtype)));
}

}  // namespace torch_hpu::codegen
