#include "csrc/text/tokenizer_core.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "csrc/text/unicode.h"

namespace torch_hpu::text {

TokenizerCore::TokenizerCore(const char* what, Vocabulary words, Settings given, AddedVocabulary::Normalise normalise, const char* first,
                             const char* last, int64_t default_max_length)
    : what(what),
      vocabulary(std::move(words)),
      settings(std::move(given)),
      added(settings.tokens_to_add(), vocabulary, std::move(normalise)),
      model_max_length(settings.model_max_length.value_or(default_max_length)),
      first_id(added.id(settings.role(first, what).content)),
      last_id(added.id(settings.role(last, what).content)),
      unknown_id([&] {
        const auto found = vocabulary.find(settings.role("unk_token", this->what).content);
        return found == vocabulary.end() ? -1 : found->second;
      }()) {
  TORCH_CHECK(model_max_length >= 2, "[", what, "] model_max_length: got ", model_max_length, ", expected at least 2");
  for (const auto& [token, id] : vocabulary) {
    TORCH_CHECK(tokens_.emplace(id, token).second, "[", what, "] the tokens '", token, "' and '", tokens_[id], "' have the same id ", id);
  }
}

std::vector<int64_t> TokenizerCore::encode_text(const std::string& text) const {
  std::vector<int64_t> ids;
  for (const auto& piece : added.split(from_utf8(text))) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else {
      encode_words(piece.text, ids);
    }
  }
  return ids;
}

std::vector<int64_t> TokenizerCore::encode(const std::string& text) const {
  std::vector<int64_t> ids = encode_text(text);
  ids.insert(ids.begin(), first_id);
  ids.push_back(last_id);
  return ids;
}

// An added token counts as it stands in the text, with the spaces that it takes.
std::vector<std::string> TokenizerCore::tokenize(const std::string& text) const {
  std::vector<std::string> tokens;
  for (const auto& piece : added.split(from_utf8(text))) {
    if (piece.id >= 0) {
      tokens.push_back(to_utf8(piece.text));
      continue;
    }
    std::vector<int64_t> ids;
    encode_words(piece.text, ids);
    for (const int64_t id : ids) {
      tokens.push_back(tokens_.at(id));
    }
  }
  return tokens;
}

TokenBatch TokenizerCore::batch(const std::vector<std::string>& texts, const TokenizeOptions& options) const {
  const int64_t limit = options.max_length.value_or(model_max_length);
  TORCH_CHECK(limit >= 2, "[", what, "] max_length: got ", limit, ", expected at least 2, for the special tokens");
  TORCH_CHECK(!options.pad_to_max_length || limit != kNoMaxLength, "[", what,
              "] pad_to_max_length needs a max_length: neither the options nor the tokenizer's files name one");
  std::vector<std::vector<int64_t>> rows;
  int64_t longest = 0;
  for (const std::string& text : texts) {
    std::vector<int64_t> ids = encode_text(text);
    const auto room = static_cast<size_t>(limit - 2);
    if (options.truncation && ids.size() > room) {
      const auto extra = static_cast<ptrdiff_t>(ids.size() - room);
      ids.erase(settings.truncate_left ? ids.begin() : ids.end() - extra, settings.truncate_left ? ids.begin() + extra : ids.end());
    }
    ids.insert(ids.begin(), first_id);
    ids.push_back(last_id);
    longest = std::max(longest, static_cast<int64_t>(ids.size()));
    rows.push_back(std::move(ids));
  }
  TORCH_CHECK(!options.pad_to_max_length || longest <= limit, "[", what, "] pad_to_max_length: got a text of ", longest,
              " tokens, expected at most ", limit, " (or truncation)");
  const int64_t length = options.pad_to_max_length ? limit : longest;
  TokenBatch batch;
  batch.input_ids = at::zeros({static_cast<int64_t>(rows.size()), length}, at::kLong);
  batch.attention_mask = at::zeros_like(batch.input_ids);
  batch.token_type_ids = at::zeros_like(batch.input_ids);
  auto* id = batch.input_ids.mutable_data_ptr<int64_t>();
  auto* mask = batch.attention_mask.mutable_data_ptr<int64_t>();
  for (const auto& row : rows) {
    const int64_t padding = length - static_cast<int64_t>(row.size());
    const int64_t begin = settings.pad_left ? padding : 0;
    if (padding > 0) {
      std::fill_n(id, length, pad_id());
    }
    std::copy(row.begin(), row.end(), id + begin);
    std::fill_n(mask + begin, row.size(), 1);
    id += length;
    mask += length;
  }
  return batch;
}

std::vector<std::string> TokenizerCore::to_tokens(const std::vector<int64_t>& ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  for (const int64_t id : ids) {
    if (const std::string* token = added.shown(id)) {
      if (!skip_special_tokens || !added.is_special(*token)) {
        tokens.push_back(*token);
      }
    } else if (const auto found = tokens_.find(id); found != tokens_.end()) {
      tokens.push_back(found->second);
    }
  }
  return tokens;
}

int64_t TokenizerCore::pad_id() const {
  return added.id(settings.role("pad_token", what).content);
}

int64_t TokenizerCore::unknown(std::string_view word) const {
  TORCH_CHECK(unknown_id >= 0, "[", what, "] the vocabulary has neither '", word, "' nor the token for unknown ones, '",
              settings.role("unk_token", what).content, "'");
  return unknown_id;
}

TokenizerCore::Vocabulary to_vocabulary(const Json& json, const std::string& where, const char* what) {
  TORCH_CHECK(json.is_object() && !json.empty(), "[", what, "] ", where, ": expected an object of tokens and their ids");
  TokenizerCore::Vocabulary vocabulary;
  vocabulary.reserve(json.size());
  for (const auto& [token, id] : json.items()) {
    TORCH_CHECK(id.is_number_integer() && id.get<int64_t>() >= 0, "[", what, "] ", where, ": the id of '", token, "': got ", id.dump(),
                ", expected a whole number from 0");
    vocabulary[token] = id.get<int64_t>();
  }
  return vocabulary;
}

const Json& read_model(const std::string& path, const char* type, Json& tokenizer, const char* what) {
  tokenizer = read_object(path, what);
  TORCH_CHECK(tokenizer.contains("model") && tokenizer["model"].is_object() && tokenizer["model"].contains("vocab"), "[", what, "] ", path,
              " has no model with a vocab");
  const Json& model = tokenizer["model"];
  TORCH_CHECK(!model.contains("type") || model["type"] == type, "[", what, "] ", path, ": the model's type: got ", model["type"].dump(),
              ", expected \"", type, "\"");
  return model;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace torch_hpu::text
