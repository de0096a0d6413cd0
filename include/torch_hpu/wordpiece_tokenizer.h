// The tokenizer of BERT and its kin, id by id as transformers' BertTokenizer.
//
// transformers 5 has one, on the tokenizers library, which in transformers 4 was BertTokenizerFast. Control characters go, CJK ideographs
// are words, uncased tokenizers take accents and case away, punctuation is a word each; a word is split into its longest pieces, and is
// [UNK] where that fails or where it has more than 100 characters. Special tokens written in a text count as such.
// Unicode is as in tokenizers 0.23, with ICU 72 or later: categories of 8 (later punctuation, accents and format characters count as
// letters), normal forms of 9, lower case of 17.
// Texts are UTF-8. Bytes that are none become U+FFFD as in Python's bytes.decode("utf-8", "replace"), which BERT leaves out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "torch_hpu/export.h"
#include "torch_hpu/token_batch.h"

namespace torch_hpu {

// Immutable: copies share everything, and any number of threads may use one.
class TORCH_HPU_API WordPieceTokenizer {
 public:
  // tokenizer.json, or else vocab.txt; tokenizer_config.json, special_tokens_map.json and added_tokens.json if there. As in transformers
  // the vocabulary and the added tokens count in tokenizer.json, and do_lower_case, tokenize_chinese_chars and strip_accents in
  // tokenizer_config.json.
  static WordPieceTokenizer from_pretrained(const std::string& folder);

  std::vector<std::string> tokenize(const std::string& text) const;  // without special tokens around them
  std::vector<int64_t> encode(const std::string& text) const;        // with [CLS] and [SEP], not truncated
  TokenBatch operator()(const std::vector<std::string>& texts, const TokenizeOptions& options = {}) const;
  std::string decode(const std::vector<int64_t>& ids, bool skip_special_tokens = true) const;  // unknown ids are left out

  int64_t vocab_size() const;        // without added tokens that the vocabulary lacks
  int64_t model_max_length() const;  // kNoMaxLength where no file names it
  int64_t pad_token_id() const;

 private:
  struct Impl;
  explicit WordPieceTokenizer(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace torch_hpu
