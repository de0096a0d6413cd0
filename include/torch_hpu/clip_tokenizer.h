// The tokenizer of Stable Diffusion's text encoder: byte-level BPE, id by id as transformers' CLIPTokenizer.
//
// transformers 5 has one CLIPTokenizer, on the tokenizers library; in transformers 4 it was CLIPTokenizerFast, the one of diffusers, beside
// a slow one in Python that differed on emoji, CJK, zero-width and control characters. This is the fast one: NFC, a space for runs of
// whitespace, lower case letter by letter, then words of letters, single digits and runs of other characters, in bytes that merge.
// Special tokens written in a text count as such, as their AddedToken flags say, padding token included: with SD 2's "!" becomes id 0.
// Unicode is as in tokenizers 0.23, with ICU 72 or later: normal forms of 9, letters and numbers of 16, lower case of 17.
// Texts are UTF-8. Bytes that are none become U+FFFD as in Python's bytes.decode("utf-8", "replace").
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "torch_hpu/export.h"
#include "torch_hpu/token_batch.h"

namespace torch_hpu {

// Roles of tokens of the vocabulary; one that it lacks gets the next id.
struct TORCH_HPU_API CLIPSpecialTokens {
  std::string bos = "<|startoftext|>", eos = "<|endoftext|>", unk = "<|endoftext|>", pad = "<|endoftext|>";
};

// Immutable: copies share everything, and any number of threads may use one.
class TORCH_HPU_API CLIPTokenizer {
 public:
  using Vocabulary = std::unordered_map<std::string, int64_t>;
  using Merges = std::vector<std::pair<std::string, std::string>>;

  // Merges by their rank; a pair, and what it merges to, must be in the vocabulary.
  CLIPTokenizer(Vocabulary vocabulary, Merges merges, const CLIPSpecialTokens& special = {}, int64_t model_max_length = 77);

  // tokenizer.json, or else vocab.json and merges.txt; tokenizer_config.json, special_tokens_map.json and added_tokens.json if there.
  // model_max_length is 77 where no file names it (transformers: no limit, so that pipelines fail).
  static CLIPTokenizer from_pretrained(const std::string& folder, const std::string& subfolder = "");

  // Learns merges, the most frequent pair first, until the vocabulary has vocab_size tokens or no pair occurs twice. In CLIP's order: 256
  // bytes, 256 bytes that end a word, merges, <|startoftext|>, <|endoftext|>. The same texts give the same tokenizer.
  static CLIPTokenizer train(const std::vector<std::string>& texts, int64_t vocab_size, int64_t model_max_length = 77);

  // vocab.json, merges.txt, special_tokens_map.json and tokenizer_config.json, for transformers' CLIPTokenizer and CLIPTokenizerFast, too.
  // Makes the folder.
  void save_pretrained(const std::string& folder) const;

  std::vector<std::string> tokenize(const std::string& text) const;  // without special tokens around them
  std::vector<int64_t> encode(const std::string& text) const;        // with bos and eos, not truncated
  TokenBatch operator()(const std::vector<std::string>& texts, const TokenizeOptions& options = {}) const;
  std::string decode(const std::vector<int64_t>& ids, bool skip_special_tokens = true) const;  // unknown ids are left out

  int64_t vocab_size() const;  // without added tokens that the vocabulary lacks
  int64_t model_max_length() const;
  int64_t bos_token_id() const;
  int64_t eos_token_id() const;
  int64_t pad_token_id() const;

 private:
  struct Impl;
  explicit CLIPTokenizer(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace torch_hpu
