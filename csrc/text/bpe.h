// Byte-level byte-pair encoding with a suffix for the end of words: what merges do to a word, and how they are learnt.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace torch_hpu::text {

using Merges = std::vector<std::pair<std::string, std::string>>;

class Bpe {
 public:
  using Vocabulary = std::unordered_map<std::string, int64_t>;

  // Merges by their rank. Throws c10::Error that begins with [what] where a pair, or what it merges to, is no token.
  Bpe(const Vocabulary& vocabulary, const Merges& merges, const char* what);

  // The ids of a word in UTF-8; -1 for each byte that the vocabulary lacks. In time n log n.
  std::vector<int64_t> encode(std::string_view word) const;

 private:
  struct Merge {
    int64_t rank, id;
  };
  struct Pair {
    int64_t left, right;
    bool operator==(const Pair& other) const = default;
  };
  struct PairHash {
    size_t operator()(const Pair& pair) const {
      return static_cast<size_t>(pair.left) * 0x9E3779B97F4A7C15ull ^ static_cast<size_t>(pair.right);
    }
  };

  std::array<int64_t, 256> bytes_, last_bytes_;
  std::unordered_map<Pair, Merge, PairHash> merges_;
};

// The merges that a greedy search finds in words, which come with their numbers, until they make `count` new tokens or no pair occurs
// twice: the most frequent pair first, of equal ones the one whose tokens are older.
Merges learn_merges(const std::unordered_map<std::string, int64_t>& words, int64_t count);

}  // namespace torch_hpu::text
