// Philox4x32-10 over vectors of blocks; bit for bit the functions of csrc/support/philox.h.
#include "csrc/codegen/alu.h"

namespace torch_hpu::codegen {

// The keys of the rounds, as vectors of `lanes` (0: scalars): k0 and k1 in turn.
PhiloxKeys Alu::philox_keys(Value* seed, int lanes) {
  PhiloxKeys keys;
  const auto add = [&](Value* k) {
    k = b.CreateZExt(k, b.getInt64Ty());
    keys.push_back(lanes == 0 ? k : b.CreateVectorSplat(static_cast<unsigned>(lanes), k));
  };
  Value* k0 = b.CreateTrunc(seed, b.getInt32Ty());
  Value* k1 = b.CreateTrunc(b.CreateLShr(seed, 32), b.getInt32Ty());
  for (int round = 0; round < 10; ++round) {
    add(k0);
    add(k1);
    k0 = b.CreateAdd(k0, b.getInt32(0x9E3779B9));
    k1 = b.CreateAdd(k1, b.getInt32(0xBB67AE85));
  }
  return keys;
}

// block: i64 values. Words live in the low halves of 64-bit lanes, where the widening multiplication wants them; what is in
// the high halves does not matter.
std::array<Value*, 4> Alu::philox(const PhiloxKeys& keys, Value* block) {
  Type* t64 = block->getType();
  Value* low = constant(t64, int64_t{0xFFFFFFFF});
  Value* zero = constant(t64, int64_t{0});
  std::array<Value*, 4> c{block, b.CreateLShr(block, 32), zero, zero};
  for (size_t round = 0; round < 10; ++round) {
    Value* p0 = b.CreateMul(b.CreateAnd(c[0], low), constant(t64, int64_t{0xD2511F53}));
    Value* p1 = b.CreateMul(b.CreateAnd(c[2], low), constant(t64, int64_t{0xCD9E8D57}));
    c = {b.CreateXor(b.CreateXor(b.CreateLShr(p1, 32), c[1]), keys[2 * round]), p1,
         b.CreateXor(b.CreateXor(b.CreateLShr(p0, 32), c[3]), keys[2 * round + 1]), p0};
  }
  for (Value*& word : c) {
    word = b.CreateTrunc(word, like(block, b.getInt32Ty()));
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

Value* Alu::random_bits(const PhiloxKeys& keys, Value* offset, Value* element) {
  Type* t64 = element->getType();
  const int lanes = lanes_of(element);
  Value* base = lanes == 0 ? offset : b.CreateVectorSplat(static_cast<unsigned>(lanes), offset);
  const std::array<Value*, 4> words = philox(keys, b.CreateAdd(base, b.CreateLShr(b.CreateShl(element, 1), 2)));
  Value* second = bit(b, element, 1);  // words 2i, 2i + 1 are the first or the second half of the block
  Value* low = b.CreateZExt(b.CreateSelect(second, words[2], words[0]), t64);
  Value* high = b.CreateZExt(b.CreateSelect(second, words[3], words[1]), t64);
  return b.CreateOr(low, b.CreateShl(high, 32));
}

Value* Alu::uniform(const PhiloxKeys& keys, Value* offset, Value* element, bool is_double) {
  if (is_double) {
    Type* real = like(element, b.getDoubleTy());
    Value* top = b.CreateLShr(random_bits(keys, offset, element), 11);
    return b.CreateFMul(b.CreateUIToFP(top, real), constant(real, 0x1p-53));
  }
  const int lanes = lanes_of(element);
  Value* base = lanes == 0 ? offset : b.CreateVectorSplat(static_cast<unsigned>(lanes), offset);
  const std::array<Value*, 4> words = philox(keys, b.CreateAdd(base, b.CreateLShr(element, 2)));
  return to_uniform(pick(b, words, bit(b, element, 1), bit(b, element, 2)));
}

Value* Alu::to_uniform(Value* word) {
  Type* real = like(word, b.getFloatTy());
  return b.CreateFMul(b.CreateSIToFP(b.CreateLShr(word, 8), real), constant(real, 0x1p-24));
}

// A block serves four lanes: a quarter of the work of uniform().
Value* Alu::uniform_run(const PhiloxKeys& keys, Value* offset, Value* first, int lanes) {
  const int blocks = lanes / 4;
  llvm::SmallVector<llvm::Constant*, 16> number;
  for (int i = 0; i < blocks; ++i) {
    number.push_back(b.getInt64(static_cast<uint64_t>(i)));
  }
  Value* base = b.CreateAdd(offset, b.CreateLShr(first, 2));
  Value* block = b.CreateAdd(b.CreateVectorSplat(static_cast<unsigned>(blocks), base), llvm::ConstantVector::get(number));
  const std::array<Value*, 4> words = philox(keys, block);
  llvm::SmallVector<int, 32> concat, interleave;
  for (int i = 0; i < 2 * blocks; ++i) {
    concat.push_back(i);
  }
  for (int i = 0; i < lanes; ++i) {  // word i % 4 of block i / 4
    interleave.push_back(i % 4 * blocks + i / 4);
  }
  Value* low = b.CreateShuffleVector(words[0], words[1], concat);
  Value* high = b.CreateShuffleVector(words[2], words[3], concat);
  return to_uniform(b.CreateShuffleVector(low, high, interleave));
}

}  // namespace torch_hpu::codegen
