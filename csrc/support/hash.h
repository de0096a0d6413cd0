// Hashes of canonical words, and how ids are shown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

namespace torch_hpu {

// Picks a bucket; whoever relies on equality compares the words.
inline uint64_t hash_words(const uint64_t* words, size_t n, uint64_t seed = 0) {
  // Multiply and fold: the 128-bit product mixes both halves.
  uint64_t h = seed ^ (0x9E3779B97F4A7C15ull * (n + 1));
  for (size_t i = 0; i < n; ++i) {
    const auto product = static_cast<unsigned __int128>(h ^ words[i]) * 0xA0761D6478BD642Full;
    h = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  return h;
}

// The low 32 bits as 8 hex digits.
inline std::string hex8(uint64_t id) {
  char text[16];
  std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(id));
  return text;
}

}  // namespace torch_hpu
