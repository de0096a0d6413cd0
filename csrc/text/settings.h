// tokenizer_config.json, special_tokens_map.json, added_tokens.json and the added tokens of tokenizer.json, weighed as transformers does.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "csrc/text/files.h"

namespace torch_hpu::text {

// A token that is found in texts before words are made.
struct AddedToken {
  std::string content;
  bool special = true;       // left out by decode(..., skip_special_tokens)
  bool normalized = false;   // found in the normal form of a text, not in the text as it is
  bool single_word = false;  // not next to letters
  bool lstrip = false;       // takes the spaces before it
  bool rstrip = false;       // and after it
};

struct Settings {
  std::optional<int64_t> model_max_length;  // kNoMaxLength where the file says 1e30
  bool pad_left = false, truncate_left = false;
  bool clean_up_tokenization_spaces = false;

  std::map<std::string, AddedToken> roles;             // bos_token, eos_token ...
  std::map<int64_t, AddedToken> added_tokens_decoder;  // by the id of whoever saved them, which only orders them
  std::vector<AddedToken> extra_special_tokens;

  // All of them, in the order in which transformers adds them: of two with the same content the later one counts.
  std::vector<AddedToken> tokens_to_add() const;

  const AddedToken& role(const std::string& name, const char* what) const;
};

// What the folder says beside the vocabulary; roles that it does not name are the given ones. `config` receives tokenizer_config.json, and
// `tokenizer` is tokenizer.json if there is one.
Settings read_settings(const std::string& folder, std::map<std::string, AddedToken> roles, const Json* tokenizer, Json& config,
                       const char* what);

// config[name], which may be missing or null.
std::optional<bool> optional_bool(const Json& config, const char* name, const std::string& path, const char* what);

}  // namespace torch_hpu::text
