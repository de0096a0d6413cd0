// Learning merges. Words are counted once; of every pair of tokens its number and the words with it are kept up to date.
#include <algorithm>
#include <queue>
#include <set>
#include <tuple>

#include "csrc/text/bpe.h"
#include "csrc/text/byte_level.h"

namespace torch_hpu::text {
namespace {

using Token = int32_t;  // 0 to 255: bytes, 256 to 511: bytes that end a word, then merges, in the order of their learning
using Pair = std::pair<Token, Token>;

struct Word {
  std::vector<Token> tokens;
  int64_t count;
};

struct PairHash {
  size_t operator()(const Pair& pair) const {
    return static_cast<size_t>(pair.first) << 32 ^ static_cast<size_t>(pair.second);
  }
};

class Learner {
 public:
  explicit Learner(const std::unordered_map<std::string, int64_t>& words) {
    for (const uint8_t byte : byte_order()) {
      order_[byte] = static_cast<Token>(names_.size());
      names_.push_back(byte_characters()[byte]);
    }
    for (const uint8_t byte : byte_order()) {
      names_.push_back(byte_characters()[byte] + std::string(kEndOfWord));
    }
    for (size_t token = 0; token < names_.size(); ++token) {
      tokens_[names_[token]] = static_cast<Token>(token);
    }
    for (const auto& [text, count] : words) {
      Word word{{}, count};
      for (const char c : text) {
        word.tokens.push_back(order_[static_cast<uint8_t>(c)]);
      }
      word.tokens.back() += 256;
      words_.push_back(std::move(word));
      change(words_.size() - 1, +1);
    }
    queue_pairs();
  }

  Merges learn(int64_t count) {
    Merges merges;
    const size_t enough = names_.size() + static_cast<size_t>(count);
    while (names_.size() < enough && !queue_.empty()) {
      const auto [number, left, right] = queue_.top();
      queue_.pop();
      const Pair pair{-left, -right};
      const int64_t current = pairs_[pair].count;
      if (current != number) {  // it has occurred less, or more, since it was queued; the latter is queued anew
        if (current > 1 && current < number) {
          queue_.emplace(current, left, right);
        }
        continue;
      }
      merges.emplace_back(name(pair.first), name(pair.second));
      merge(pair);
    }
    return merges;
  }

 private:
  struct Occurrences {
    int64_t count = 0;
    std::set<size_t> words;  // may hold words that no longer have the pair
  };

  const std::string& name(Token token) const {
    return names_[static_cast<size_t>(token)];
  }

  void change(size_t index, int64_t sign) {
    const Word& word = words_[index];
    for (size_t i = 0; i + 1 < word.tokens.size(); ++i) {
      const Pair pair{word.tokens[i], word.tokens[i + 1]};
      Occurrences& occurrences = pairs_[pair];
      occurrences.count += sign * word.count;
      if (sign > 0) {
        occurrences.words.insert(index);
        changed_.push_back(pair);
      }
    }
  }

  void queue_pairs() {
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    for (const Pair& pair : changed_) {
      if (const int64_t count = pairs_[pair].count; count > 1) {
        queue_.emplace(count, -pair.first, -pair.second);
      }
    }
    changed_.clear();
  }

  void merge(const Pair& pair) {
    const std::string text = name(pair.first) + name(pair.second);
    const auto [found, is_new] = tokens_.emplace(text, static_cast<Token>(names_.size()));  // "a" + "bc" and "ab" + "c" are one token
    const Token merged = found->second;
    if (is_new) {
      names_.push_back(text);
    }
    const std::set<size_t> words = std::move(pairs_[pair].words);
    for (const size_t index : words) {
      change(index, -1);
      std::vector<Token>& tokens = words_[index].tokens;
      size_t n = 0;
      for (size_t i = 0; i < tokens.size(); ++n) {
        const bool both = i + 1 < tokens.size() && tokens[i] == pair.first && tokens[i + 1] == pair.second;
        tokens[n] = both ? merged : tokens[i];
        i += both ? 2 : 1;
      }
      tokens.resize(n);
      change(index, +1);
    }
    queue_pairs();
  }

  std::vector<std::string> names_;
  std::unordered_map<std::string, Token> tokens_;
  Token order_[256];
  std::vector<Word> words_;
  std::unordered_map<Pair, Occurrences, PairHash> pairs_;
  std::vector<Pair> changed_;
  std::priority_queue<std::tuple<int64_t, Token, Token>> queue_;  // count, and the pair with its signs turned: older tokens first
};

}  // namespace

Merges learn_merges(const std::unordered_map<std::string, int64_t>& words, int64_t count) {
  return Learner(words).learn(count);
}

}  // namespace torch_hpu::text
