// Philox4x32-10 over vectors of blocks; bit for bit the functions of csrc/support/philox.h.
#include "csrc/codegen/alu.h"

namespace torch_hpu::codegen {

// seed: a scalar i64. block: i64 values.
std::array<Value*, 4> Alu::philox(Value* seed, Value* block) {
  Type* t64 = block->getType();
  Type* t32 = like(block, b.getInt32Ty());
  const auto splat = [&](Value* v) -> Value* {
    const int lanes = lanes_of(block);
    return lanes == 0 ? v : b.CreateVectorSplat(static_cast<unsigned>(lanes), v);
  };
  // Words stay in the low halves of 64-bit lanes: that is where the widening multiplication wants them.
  Value* low = constant(t64, int64_t{0xFFFFFFFF});
  std::array<Value*, 4> c{b.CreateAnd(block, low), b.CreateLShr(block, 32), constant(t64, int64_t{0}), constant(t64, int64_t{0})};
  Value* k0 = b.CreateAnd(seed, b.getInt64(0xFFFFFFFF));
  Value* k1 = b.CreateLShr(seed, 32);
  for (int round = 0; round < 10; ++round) {
    Value* p0 = b.CreateMul(c[0], constant(t64, int64_t{0xD2511F53}));
    Value* p1 = b.CreateMul(c[2], constant(t64, int64_t{0xCD9E8D57}));
    c = {b.CreateXor(b.CreateXor(b.CreateLShr(p1, 32), c[1]), splat(k0)), b.CreateAnd(p1, low),
         b.CreateXor(b.CreateXor(b.CreateLShr(p0, 32), c[3]), splat(k1)), b.CreateAnd(p0, low)};
    k0 = b.CreateAnd(b.CreateAdd(k0, b.getInt64(0x9E3779B9)), b.getInt64(0xFFFFFFFF));
    k1 = b.CreateAnd(b.CreateAdd(k1, b.getInt64(0xBB67AE85)), b.getInt64(0xFFFFFFFF));
  }
  for (Value*& word : c) {
    word = b.CreateTrunc(word, t32);
  }
  return c;
}

// words[lane] for a lane that differs per element.
static Value* pick(llvm::IRBuilder<>& b, const std::array<Value*, 4>& words, Value* low_bit, Value* high_bit) {
  Value* even = b.CreateSelect(high_bit, words[2], words[0]);
  Value* odd = b.CreateSelect(high_bit, words[3], words[1]);
  return b.CreateSelect(low_bit, odd, even);
}

static Value* bit(llvm::IRBuilder<>& b, Value* x, uint64_t mask) {
  Value* zero = llvm::Constant::getNullValue(x->getType());
  return b.CreateICmpNE(b.CreateAnd(x, llvm::ConstantInt::get(x->getType(), mask)), zero);
}

Value* Alu::random_bits(Value* seed, Value* offset, Value* element) {
  Type* t64 = element->getType();
  const int lanes = lanes_of(element);
  Value* base = lanes == 0 ? offset : b.CreateVectorSplat(static_cast<unsigned>(lanes), offset);
  const std::array<Value*, 4> words = philox(seed, b.CreateAdd(base, b.CreateLShr(b.CreateShl(element, 1), 2)));
  Value* second = bit(b, element, 1); // words 2i, 2i + 1 are the first or the second half of the block
  Value* low = b.CreateZExt(b.CreateSelect(second, words[2], words[0]), t64);
  Value* high = b.CreateZExt(b.CreateSelect(second, words[3], words[1]), t64);
  return b.CreateOr(low, b.CreateShl(high, 32));
}

Value* Alu::uniform(Value* seed, Value* offset, Value* element, bool is_double) {
  if (is_double) {
    Type* real = like(element, b.getDoubleTy());
    Value* top = b.CreateLShr(random_bits(seed, offset, element), 11);
    return b.CreateFMul(b.CreateUIToFP(top, real), constant(real, 0x1p-53));
  }
  const int lanes = lanes_of(element);
  Value* base = lanes == 0 ? offset : b.CreateVectorSplat(static_cast<unsigned>(lanes), offset);
  const std::array<Value*, 4> words = philox(seed, b.CreateAdd(base, b.CreateLShr(element, 2)));
  Value* word = pick(b, words, bit(b, element, 1), bit(b, element, 2));
  Type* real = like(element, b.getFloatTy());
  return b.CreateFMul(b.CreateSIToFP(b.CreateLShr(word, 8), real), constant(real, 0x1p-24));
}

} // namespace torch_hpu::codegen
