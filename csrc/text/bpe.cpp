#include "csrc/text/bpe.h"

#include <c10/util/Exception.h>

#include <functional>
#include <queue>
#include <tuple>

#include "csrc/text/byte_level.h"

namespace torch_hpu::text {

Bpe::Bpe(const Vocabulary& vocabulary, const Merges& merges, const char* what) {
  const auto id_or = [&](const std::string& token) {
    const auto found = vocabulary.find(token);
    return found == vocabulary.end() ? -1 : found->second;
  };
  for (size_t byte = 0; byte < 256; ++byte) {
    bytes_[byte] = id_or(byte_characters()[byte]);
    last_bytes_[byte] = id_or(byte_characters()[byte] + std::string(kEndOfWord));
  }
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const auto id = [&](const std::string& token) {
      const int64_t known = id_or(token);
      TORCH_CHECK(known >= 0, "[", what, "] merge ", rank, " of '", left, "' and '", right, "': '", token, "' is not in the vocabulary");
      return known;
    };
    merges_[{id(left), id(right)}] = {static_cast<int64_t>(rank), id(left + right)};
  }
}

std::vector<int64_t> Bpe::encode(std::string_view word) const {
  struct Symbol {
    int64_t id;
    ptrdiff_t previous, next;  // -1: none
    bool gone = false;
  };
  const auto size = static_cast<ptrdiff_t>(word.size());
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (ptrdiff_t i = 0; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(word[static_cast<size_t>(i)]);
    symbols.push_back({i + 1 < size ? bytes_[byte] : last_bytes_[byte], i - 1, i + 1 < size ? i + 1 : -1});
  }
  const auto at = [&](ptrdiff_t i) -> Symbol& { return symbols[static_cast<size_t>(i)]; };

  using Candidate = std::tuple<int64_t, ptrdiff_t, int64_t>;  // rank, position of the left one, id of the merged token
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto find = [&](ptrdiff_t left) {
    return left < 0 || at(left).next < 0 ? merges_.end() : merges_.find({at(left).id, at(at(left).next).id});
  };
  const auto push = [&](ptrdiff_t left) {
    if (const auto merge = find(left); merge != merges_.end()) {
      queue.emplace(merge->second.rank, left, merge->second.id);
    }
  };
  for (ptrdiff_t i = 0; i < size; ++i) {
    push(i);
  }
  while (!queue.empty()) {
    const auto [rank, left, id] = queue.top();
    queue.pop();
    if (at(left).gone) {
      continue;
    }
    if (const auto merge = find(left); merge == merges_.end() || merge->second.id != id) {
      continue;  // one of the two has merged with another since
    }
    const ptrdiff_t right = at(left).next, after = at(right).next;
    at(left).id = id;
    at(left).next = after;
    at(right).gone = true;
    if (after >= 0) {
      at(after).previous = left;
    }
    push(at(left).previous);
    push(left);
  }
  std::vector<int64_t> ids;
  for (const Symbol& symbol : symbols) {
    if (!symbol.gone) {
      ids.push_back(symbol.id);
    }
  }
  return ids;
}

}  // namespace torch_hpu::text
