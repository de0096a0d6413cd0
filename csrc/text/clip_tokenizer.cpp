#include <torch_hpu/clip_tokenizer.h>

#include <c10/util/Exception.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "csrc/text/bpe.h"
#include "csrc/text/byte_level.h"
#include "csrc/text/files.h"
#include "csrc/text/tokenizer_core.h"
#include "csrc/text/unicode.h"

namespace torch_hpu {
namespace {

using text::AddedToken;
using text::join;
using text::Json;

constexpr const char* kWhat = "CLIPTokenizer";
constexpr int64_t kMaxLength = 77;

CLIPTokenizer::Merges read_merges_file(const std::string& path) {
  CLIPTokenizer::Merges merges;
  int64_t number = 0;
  for (const std::string& line : text::read_lines(path, kWhat)) {
    ++number;
    if (line.rfind("#version", 0) == 0) {
      continue;
    }
    const size_t space = line.find(' ');
    TORCH_CHECK(space != std::string::npos && line.find(' ', space + 1) == std::string::npos, "[", kWhat, "] ", path, ", line ", number,
                ": got '", line, "', expected two tokens with a space between them");
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

// tokenizer.json's merges: "a b", or in newer files ["a", "b"].
CLIPTokenizer::Merges to_merges(const Json& model, const std::string& path) {
  TORCH_CHECK(model.contains("merges") && model["merges"].is_array(), "[", kWhat, "] ", path, ": the model has no list of merges");
  CLIPTokenizer::Merges merges;
  for (const Json& merge : model["merges"]) {
    const std::string words = merge.is_string() ? merge.get<std::string>() : "";
    if (const size_t space = words.find(' '); space != std::string::npos) {
      merges.emplace_back(words.substr(0, space), words.substr(space + 1));
      continue;
    }
    TORCH_CHECK(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(), "[", kWhat, "] ", path, ": merge ",
                merges.size(), ": got ", merge.dump(), ", expected two tokens");
    merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  return merges;
}

Json to_json(const AddedToken& token) {
  return {{"content", token.content},
          {"lstrip", token.lstrip},
          {"normalized", token.normalized},
          {"rstrip", token.rstrip},
          {"single_word", token.single_word}};
}

std::string dump(const Json& json) {
  return json.dump(json.is_object() ? 2 : -1, ' ', false, Json::error_handler_t::replace);
}

std::map<std::string, AddedToken> to_roles(const CLIPSpecialTokens& special) {
  return {{"bos_token", {special.bos}}, {"eos_token", {special.eos}}, {"unk_token", {special.unk}}, {"pad_token", {special.pad}}};
}

void strip(std::u32string& text) {  // Python's
  const auto is_space = [](char32_t c) { return text::is_space(c) || (c >= 0x1C && c <= 0x1F); };
  text.erase(std::find_if_not(text.rbegin(), text.rend(), is_space).base(), text.end());
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_space));
}

}  // namespace

struct CLIPTokenizer::Impl : text::TokenizerCore {
  Impl(Vocabulary vocabulary, Merges pairs, text::Settings settings)
      : TokenizerCore(kWhat, std::move(vocabulary), std::move(settings), text::clip_normalise, "bos_token", "eos_token", kMaxLength),
        merges(std::move(pairs)),
        bpe(this->vocabulary, merges, kWhat) {}

  void encode_words(std::u32string_view normal, std::vector<int64_t>& ids) const override {
    text::for_each_clip_word(normal, [&](std::u32string_view word) {
      const std::string bytes = text::to_utf8(word);
      for (const int64_t id : bpe.encode(bytes)) {
        ids.push_back(id >= 0 ? id : unknown(bytes));
      }
    });
  }

  const Merges merges;
  const text::Bpe bpe;
};

CLIPTokenizer::CLIPTokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

CLIPTokenizer::CLIPTokenizer(Vocabulary vocabulary, Merges merges, const CLIPSpecialTokens& special, int64_t model_max_length) {
  text::Settings settings;
  settings.roles = to_roles(special);
  settings.model_max_length = model_max_length;
  impl_ = std::make_shared<const Impl>(std::move(vocabulary), std::move(merges), std::move(settings));
}

CLIPTokenizer CLIPTokenizer::from_pretrained(const std::string& folder, const std::string& subfolder) {
  const std::string path = subfolder.empty() ? folder : join(folder, subfolder);
  TORCH_CHECK(std::filesystem::is_directory(path), "[", kWhat, "] there is no folder ", path);
  const std::string whole = join(path, "tokenizer.json"), words = join(path, "vocab.json");
  const bool has_whole = text::is_file(whole);
  Json tokenizer, config;
  Vocabulary vocabulary;
  Merges merges;
  if (has_whole) {
    const Json& model = text::read_model(whole, "BPE", tokenizer, kWhat);
    vocabulary = text::to_vocabulary(model["vocab"], whole + ": vocab", kWhat);
    merges = to_merges(model, whole);
  } else {
    vocabulary = text::to_vocabulary(text::read_object(words, kWhat), words, kWhat);
    merges = read_merges_file(join(path, "merges.txt"));
  }
  text::Settings settings = text::read_settings(path, to_roles({}), has_whole ? &tokenizer : nullptr, config, kWhat);
  return CLIPTokenizer(std::make_shared<const Impl>(std::move(vocabulary), std::move(merges), std::move(settings)));
}

CLIPTokenizer CLIPTokenizer::train(const std::vector<std::string>& texts, int64_t vocab_size, int64_t model_max_length) {
  constexpr int64_t kFixed = 2 * 256 + 2;
  TORCH_CHECK(vocab_size >= kFixed, "[", kWhat, "] vocab_size: got ", vocab_size, ", expected at least ", kFixed,
              ": every byte twice and two special tokens");
  std::unordered_map<std::string, int64_t> words;
  for (const std::string& text : texts) {
    text::for_each_clip_word(text::clip_normalise(text::from_utf8(text)), [&](std::u32string_view word) { ++words[text::to_utf8(word)]; });
  }
  Merges merges = text::learn_merges(words, vocab_size - kFixed);
  Vocabulary vocabulary;
  const auto add = [&](const std::string& token) { vocabulary.emplace(token, static_cast<int64_t>(vocabulary.size())); };
  for (const std::string_view end : {std::string_view(), text::kEndOfWord}) {
    for (const uint8_t byte : text::byte_order()) {
      add(text::byte_characters()[byte] + std::string(end));
    }
  }
  for (const auto& [left, right] : merges) {
    add(left + right);
  }
  const CLIPSpecialTokens special;
  add(special.bos);
  add(special.eos);
  return CLIPTokenizer(std::move(vocabulary), std::move(merges), special, model_max_length);
}

void CLIPTokenizer::save_pretrained(const std::string& folder) const {
  text::make_folder(folder, kWhat);
  std::map<int64_t, const std::string*> by_id;
  for (const auto& [token, id] : impl_->vocabulary) {
    by_id[id] = &token;
  }
  std::string vocabulary;
  for (const auto& [id, token] : by_id) {
    vocabulary += (vocabulary.empty() ? "{" : ", ") + dump(*token) + ": " + std::to_string(id);
  }
  std::string merges = "#version: 0.2\n";
  for (const auto& [left, right] : impl_->merges) {
    merges += left + " " + right + "\n";
  }
  Json map = Json::object(), config = Json::object(), decoder = Json::object();
  for (const auto& [id, token] : impl_->added.tokens()) {
    decoder[std::to_string(id)] = to_json(token);
    decoder[std::to_string(id)]["special"] = token.special;
  }
  config["add_prefix_space"] = false;
  config["added_tokens_decoder"] = std::move(decoder);
  for (const auto& [name, token] : impl_->settings.roles) {
    map[name] = to_json(impl_->added.tokens().at(impl_->added.id(token.content)));
    config[name] = token.content;
  }
  config["clean_up_tokenization_spaces"] = impl_->settings.clean_up_tokenization_spaces;
  config["do_lower_case"] = true;
  config["errors"] = "replace";
  if (impl_->model_max_length != kNoMaxLength) {
    config["model_max_length"] = impl_->model_max_length;
  }
  config["padding_side"] = impl_->settings.pad_left ? "left" : "right";
  config["truncation_side"] = impl_->settings.truncate_left ? "left" : "right";
  config["tokenizer_class"] = "CLIPTokenizer";
  text::write_file(join(folder, "vocab.json"), (vocabulary.empty() ? "{" : vocabulary) + "}\n", kWhat);
  text::write_file(join(folder, "merges.txt"), merges, kWhat);
  text::write_file(join(folder, "special_tokens_map.json"), dump(map) + "\n", kWhat);
  text::write_file(join(folder, "tokenizer_config.json"), dump(config) + "\n", kWhat);
}

std::vector<std::string> CLIPTokenizer::tokenize(const std::string& text) const {
  return impl_->tokenize(text);
}

std::vector<int64_t> CLIPTokenizer::encode(const std::string& text) const {
  return impl_->encode(text);
}

TokenBatch CLIPTokenizer::operator()(const std::vector<std::string>& texts, const TokenizeOptions& options) const {
  return impl_->batch(texts, options);
}

std::string CLIPTokenizer::decode(const std::vector<int64_t>& ids, bool skip_special_tokens) const {
  std::string bytes = text::to_utf8(text::from_utf8(text::to_bytes(impl_->to_tokens(ids, skip_special_tokens))));
  text::replace_all(bytes, text::kEndOfWord, " ");
  std::u32string text = text::from_utf8(bytes);
  strip(text);
  return text::to_utf8(text);
}

int64_t CLIPTokenizer::vocab_size() const {
  return static_cast<int64_t>(impl_->vocabulary.size());
}

int64_t CLIPTokenizer::model_max_length() const {
  return impl_->model_max_length;
}

int64_t CLIPTokenizer::bos_token_id() const {
  return impl_->first_id;
}

int64_t CLIPTokenizer::eos_token_id() const {
  return impl_->last_id;
}

int64_t CLIPTokenizer::pad_token_id() const {
  return impl_->pad_id();
}

}  // namespace torch_hpu
