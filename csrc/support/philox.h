// Note [Random numbers]
// The device generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11), counter based:
// a random op is a pure function of (seed, offset, element). The recorder draws `offset` from the generator and advances it by
// the op's number of elements; a replay draws anew. key = seed; counter = {lo(offset + block), hi(offset + block), 0, 0}.
//   32-bit word w of a stream: block = w / 4, lane = w % 4.
//   uniform float at element i: word i, (word >> 8) * 2^-24. uniform double and 64 random bits at element i: words 2i (low half)
//   and 2i + 1 (high half); double = (bits >> 11) * 2^-53.
//   normal at element i: Box-Muller, sqrt(-2 log(1 - u(2i))) * cos(2 pi u(2i + 1)), in float (double for double).
// So an op over n elements uses at most n blocks. Generated code and these functions agree bit for bit on words and uniforms.
#pragma once

#include <array>
#include <cstdint>

namespace torch_hpu {

inline std::array<uint32_t, 4> philox4x32(uint64_t seed, uint64_t block) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  std::array<uint32_t, 4> c{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0};
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1), static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1,
         static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

inline uint32_t philox_word(uint64_t seed, uint64_t offset, uint64_t word) {
  return philox4x32(seed, offset + word / 4)[word % 4];
}

inline float philox_uniform_float(uint64_t seed, uint64_t offset, uint64_t element) {
  return static_cast<float>(philox_word(seed, offset, element) >> 8) * 0x1p-24f;
}

inline uint64_t philox_bits(uint64_t seed, uint64_t offset, uint64_t element) {
  const uint64_t low = philox_word(seed, offset, 2 * element);
  return low | uint64_t{philox_word(seed, offset, 2 * element + 1)} << 32;
}

inline double philox_uniform_double(uint64_t seed, uint64_t offset, uint64_t element) {
  return static_cast<double>(philox_bits(seed, offset, element) >> 11) * 0x1p-53;
}

}  // namespace torch_hpu
