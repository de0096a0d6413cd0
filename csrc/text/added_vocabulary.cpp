#include "csrc/text/added_vocabulary.h"

#include <algorithm>

#include "csrc/text/unicode.h"

namespace torch_hpu::text {

AddedVocabulary::AddedVocabulary(const std::vector<AddedToken>& tokens, const std::unordered_map<std::string, int64_t>& vocabulary,
                                 Normalise normalise)
    : normalise_(std::move(normalise)) {
  const auto size = static_cast<int64_t>(vocabulary.size());
  int64_t last = -1;
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) {
      continue;
    }
    const auto known = vocabulary.find(token.content);
    const auto added = ids_.find(token.content);
    const int64_t id = added != ids_.end() ? added->second : known != vocabulary.end() ? known->second : std::max(size, last + 1);
    last = std::max(last, id);
    ids_[token.content] = id;
    tokens_[id] = token;
  }
  for (const auto& [id, token] : tokens_) {
    const std::u32string content = from_utf8(token.content);
    const std::u32string text = token.normalized ? normalise_(content) : content;
    shown_[id] = to_utf8(text);
    if (!text.empty()) {
      (token.normalized ? normalised_ : raw_)[text.front()].push_back({text, id, &token});
    }
  }
  for (Patterns* patterns : {&raw_, &normalised_}) {
    for (auto& [first, same] : *patterns) {
      std::stable_sort(same.begin(), same.end(), [](const Pattern& a, const Pattern& b) { return a.text.size() > b.text.size(); });
    }
  }
}

std::vector<AddedVocabulary::Piece> AddedVocabulary::split(std::u32string_view text) const {
  std::vector<Piece> raw, pieces;
  split(text, raw_, raw);
  for (Piece& piece : raw) {
    if (piece.id >= 0) {
      pieces.push_back(std::move(piece));
    } else {
      split(normalise_(piece.text), normalised_, pieces);
    }
  }
  return pieces;
}

void AddedVocabulary::split(std::u32string_view text, const Patterns& patterns, std::vector<Piece>& pieces) const {
  size_t done = 0;
  const auto add = [&](int64_t id, size_t begin, size_t end) {
    if (begin < end) {
      pieces.push_back({id, std::u32string(text.substr(begin, end - begin))});
    }
    done = end;
  };
  for (size_t i = 0; i < text.size();) {
    const auto same = patterns.find(text[i]);
    const Pattern* match = nullptr;
    for (size_t j = 0; same != patterns.end() && j < same->second.size() && match == nullptr; ++j) {
      const Pattern& pattern = same->second[j];
      match = text.substr(i, pattern.text.size()) == pattern.text ? &pattern : nullptr;
    }
    if (match == nullptr) {
      ++i;
      continue;
    }
    size_t begin = i, end = i + match->text.size();
    i = end;
    const AddedToken& token = *match->token;
    if (token.single_word && ((begin > 0 && is_word(text[begin - 1])) || (end < text.size() && is_word(text[end])))) {
      continue;
    }
    while (token.lstrip && begin > done && is_space(text[begin - 1])) {
      --begin;
    }
    while (token.rstrip && end < text.size() && is_space(text[end])) {
      ++end;
    }
    add(-1, done, begin);
    add(match->id, begin, end);
    i = std::max(i, end);
  }
  add(-1, done, text.size());
}

const std::string* AddedVocabulary::shown(int64_t id) const {
  const auto found = shown_.find(id);
  return found == shown_.end() ? nullptr : &found->second;
}

bool AddedVocabulary::is_special(const std::string& shown) const {
  const auto found = ids_.find(shown);
  return found != ids_.end() && tokens_.at(found->second).special;
}

int64_t AddedVocabulary::id(const std::string& content) const {
  return ids_.at(content);
}

}  // namespace torch_hpu::text
