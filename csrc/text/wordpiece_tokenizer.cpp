#include <torch_hpu/wordpiece_tokenizer.h>

#include <c10/util/Exception.h>

#include <filesystem>

#include "csrc/text/files.h"
#include "csrc/text/tokenizer_core.h"
#include "csrc/text/unicode.h"

namespace torch_hpu {
namespace {

using text::join;
using text::Json;
using text::TokenizerCore;

constexpr const char* kWhat = "WordPieceTokenizer";
constexpr std::string_view kContinued = "##";
constexpr size_t kLongestWord = 100;  // characters; longer ones are unknown

struct Normaliser {
  bool lowercase = true, ideographs = true, strip_accents = true;

  std::u32string operator()(std::u32string_view text) const {
    std::u32string normal;
    for (const char32_t c : text) {
      if (c == U'\t' || c == U'\n' || c == U'\r' || (text::is_space(c) && !text::is_control(c))) {
        normal.push_back(U' ');
      } else if (c == 0 || c == 0xFFFD || text::is_control(c)) {
      } else if (ideographs && text::is_ideograph(c)) {
        normal.append({U' ', c, U' '});
      } else {
        normal.push_back(c);
      }
    }
    if (strip_accents) {
      normal = text::decompose(std::move(normal));
      std::erase_if(normal, text::is_accent);
    }
    return lowercase ? text::lower(normal) : normal;
  }
};

// The line of a token is its id; of a token on two lines the later one counts.
TokenizerCore::Vocabulary read_vocabulary_file(const std::string& path) {
  TokenizerCore::Vocabulary vocabulary;
  int64_t id = 0;
  for (const std::string& line : text::read_lines(path, kWhat)) {
    std::u32string token = text::from_utf8(line);
    while (!token.empty() && text::is_space(token.back())) {
      token.pop_back();
    }
    vocabulary[text::to_utf8(token)] = id++;
  }
  TORCH_CHECK(!vocabulary.empty(), "[", kWhat, "] ", path, " is empty: expected a token a line");
  return vocabulary;
}

// What the originals write closer together: after every token, and with clean_up_tokenization_spaces after all of them.
void clean_up(std::string& text, bool token) {
  for (const auto& [from, to] :
       {std::pair{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"}}) {
    text::replace_all(text, from, to);
  }
  if (token) {
    text::replace_all(text, " do not", " don't");
  }
  for (const auto& [from, to] : {std::pair{" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}}) {
    text::replace_all(text, from, to);
  }
}

}  // namespace

struct WordPieceTokenizer::Impl : text::TokenizerCore {
  Impl(Vocabulary vocabulary, text::Settings settings, const Normaliser& normaliser)
      : TokenizerCore(kWhat, std::move(vocabulary), std::move(settings), normaliser, "cls_token", "sep_token", kNoMaxLength) {}

  void encode_words(std::u32string_view text, std::vector<int64_t>& ids) const override {
    for (size_t i = 0; i < text.size();) {
      size_t end = i + 1;
      if (text::is_space(text[i])) {
        i = end;
        continue;
      }
      while (!text::is_punctuation(text[i]) && end < text.size() && !text::is_space(text[end]) && !text::is_punctuation(text[end])) {
        ++end;
      }
      encode_word(text.substr(i, end - i), ids);
      i = end;
    }
  }

 private:
  // The longest piece that is a token first, again and again.
  void encode_word(std::u32string_view word, std::vector<int64_t>& ids) const {
    if (word.size() > kLongestWord) {
      ids.push_back(unknown(text::to_utf8(word)));
      return;
    }
    const size_t before = ids.size();
    std::string rest = text::to_utf8(word);
    while (!rest.empty()) {
      const std::string prefix(ids.size() == before ? "" : kContinued);
      size_t size = rest.size();
      auto found = vocabulary.find(prefix + rest);
      while (found == vocabulary.end() && size > 0) {
        do {  // one character shorter
          --size;
        } while ((static_cast<uint8_t>(rest[size]) & 0xC0) == 0x80);
        found = size > 0 ? vocabulary.find(prefix + rest.substr(0, size)) : vocabulary.end();
      }
      if (found == vocabulary.end()) {
        ids.resize(before);
        ids.push_back(unknown(text::to_utf8(word)));
        return;
      }
      ids.push_back(found->second);
      rest.erase(0, size);
    }
  }
};

WordPieceTokenizer::WordPieceTokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

WordPieceTokenizer WordPieceTokenizer::from_pretrained(const std::string& folder) {
  TORCH_CHECK(std::filesystem::is_directory(folder), "[", kWhat, "] there is no folder ", folder);
  const std::string whole = join(folder, "tokenizer.json"), path = join(folder, "tokenizer_config.json");
  const bool has_whole = text::is_file(whole);
  Json tokenizer, config;
  auto vocabulary = has_whole
                        ? text::to_vocabulary(text::read_model(whole, "WordPiece", tokenizer, kWhat)["vocab"], whole + ": vocab", kWhat)
                        : read_vocabulary_file(join(folder, "vocab.txt"));
  text::Settings settings = text::read_settings(
      folder,
      {{"unk_token", {"[UNK]"}}, {"sep_token", {"[SEP]"}}, {"pad_token", {"[PAD]"}}, {"cls_token", {"[CLS]"}}, {"mask_token", {"[MASK]"}}},
      has_whole ? &tokenizer : nullptr, config, kWhat);
  const auto flag = [&](const char* name, bool otherwise) { return text::optional_bool(config, name, path, kWhat).value_or(otherwise); };
  Normaliser normaliser;
  normaliser.lowercase = flag("do_lower_case", true);
  normaliser.ideographs = flag("tokenize_chinese_chars", true);
  normaliser.strip_accents = flag("strip_accents", normaliser.lowercase);
  return WordPieceTokenizer(std::make_shared<const Impl>(std::move(vocabulary), std::move(settings), normaliser));
}

std::vector<std::string> WordPieceTokenizer::tokenize(const std::string& text) const {
  return impl_->tokenize(text);
}

std::vector<int64_t> WordPieceTokenizer::encode(const std::string& text) const {
  return impl_->encode(text);
}

TokenBatch WordPieceTokenizer::operator()(const std::vector<std::string>& texts, const TokenizeOptions& options) const {
  return impl_->batch(texts, options);
}

std::string WordPieceTokenizer::decode(const std::vector<int64_t>& ids, bool skip_special_tokens) const {
  std::string text;
  bool first = true;
  for (std::string token : impl_->to_tokens(ids, skip_special_tokens)) {
    if (!first) {
      const bool continued = token.compare(0, kContinued.size(), kContinued) == 0;
      token = continued ? token.substr(kContinued.size()) : " " + token;
    }
    first = false;
    clean_up(token, /*token=*/true);
    text += token;
  }
  if (impl_->settings.clean_up_tokenization_spaces) {
    clean_up(text, /*token=*/false);
  }
  return text;
}

int64_t WordPieceTokenizer::vocab_size() const {
  return static_cast<int64_t>(impl_->vocabulary.size());
}

int64_t WordPieceTokenizer::model_max_length() const {
  return impl_->model_max_length;
}

int64_t WordPieceTokenizer::pad_token_id() const {
  return impl_->pad_id();
}

}  // namespace torch_hpu
