// What CLIP's and BERT's tokenizers share: a vocabulary, added tokens around a model of words, one special token before and one after each
// text, batches.
#pragma once

#include <torch_hpu/token_batch.h>

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "csrc/text/added_vocabulary.h"
#include "csrc/text/settings.h"

namespace torch_hpu::text {

class TokenizerCore {
 public:
  using Vocabulary = std::unordered_map<std::string, int64_t>;

  virtual ~TokenizerCore() = default;

  std::vector<std::string> tokenize(const std::string& text) const;
  std::vector<int64_t> encode(const std::string& text) const;
  TokenBatch batch(const std::vector<std::string>& texts, const TokenizeOptions& options) const;

  // The tokens of those ids that are any, without special ones if so wanted.
  std::vector<std::string> to_tokens(const std::vector<int64_t>& ids, bool skip_special_tokens) const;

  const char* const what;  // the tokenizer's name, for errors
  const Vocabulary vocabulary;
  const Settings settings;
  const AddedVocabulary added;
  const int64_t model_max_length;
  const int64_t first_id, last_id, unknown_id;  // unknown_id: -1 if the vocabulary lacks that token

  int64_t pad_id() const;

 protected:
  // `first` and `last`: the roles of the tokens before and after a text.
  TokenizerCore(const char* what, Vocabulary vocabulary, Settings settings, AddedVocabulary::Normalise normalise, const char* first,
                const char* last, int64_t default_max_length);

  // Appends the ids of normalised text.
  virtual void encode_words(std::u32string_view text, std::vector<int64_t>& ids) const = 0;

  // unknown_id, or an error that says that `word` needs it.
  int64_t unknown(std::string_view word) const;

 private:
  std::vector<int64_t> encode_text(const std::string& text) const;  // without first and last

  std::unordered_map<int64_t, std::string> tokens_;  // by id, without added ones
};

// A JSON object of tokens and ids.
TokenizerCore::Vocabulary to_vocabulary(const Json& json, const std::string& where, const char* what);

// tokenizer.json's model, which must be of that type. `tokenizer` keeps the whole file.
const Json& read_model(const std::string& path, const char* type, Json& tokenizer, const char* what);

void replace_all(std::string& text, std::string_view from, std::string_view to);

}  // namespace torch_hpu::text
