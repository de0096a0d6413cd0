// Added tokens, found in texts before words are made: of those that begin first the longest.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "csrc/text/settings.h"

namespace torch_hpu::text {

class AddedVocabulary {
 public:
  using Normalise = std::function<std::u32string(std::u32string_view)>;

  // A piece of a text: an added token with its id, or normalised text between them (id < 0).
  struct Piece {
    int64_t id;
    std::u32string text;
  };

  // Tokens that the vocabulary lacks get the ids after it. Empty ones are left out.
  AddedVocabulary(const std::vector<AddedToken>& tokens, const std::unordered_map<std::string, int64_t>& vocabulary, Normalise normalise);
  AddedVocabulary(const AddedVocabulary&) = delete;  // patterns point to tokens
  AddedVocabulary& operator=(const AddedVocabulary&) = delete;

  std::vector<Piece> split(std::u32string_view text) const;
  const AddedToken* find(int64_t id) const;      // null for tokens of the vocabulary alone
  int64_t id(const std::string& content) const;  // of a token that was added
  // How decoded texts show a token, and whether they leave it out. As in the original, those that are found in normal forms show theirs,
  // and are left out only if that is the content of a special token.
  const std::string* shown(int64_t id) const;  // null for tokens of the vocabulary alone
  bool is_special(const std::string& shown) const;

  const std::map<int64_t, AddedToken>& tokens() const {
    return tokens_;
  }

 private:
  struct Pattern {
    std::u32string text;
    int64_t id;
    const AddedToken* token;
  };
  using Patterns = std::unordered_map<char32_t, std::vector<Pattern>>;  // by their first character, the longest first

  void split(std::u32string_view text, const Patterns& patterns, std::vector<Piece>& pieces) const;

  Normalise normalise_;
  std::map<int64_t, AddedToken> tokens_;
  std::map<int64_t, std::string> shown_;
  std::unordered_map<std::string, int64_t> ids_;
  Patterns raw_, normalised_;
};

}  // namespace torch_hpu::text
