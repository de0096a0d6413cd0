#include "csrc/text/settings.h"

#include <torch_hpu/token_batch.h>

#include <algorithm>
#include <charconv>

namespace torch_hpu::text {
namespace {

constexpr const char* kRoles[] = {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

bool is_token(const Json& json) {
  return json.is_string() || (json.is_object() && json.contains("content") && json["content"].is_string());
}

// A string is a special token without more flags. `special`: whether an object that does not say is one.
AddedToken to_token(const Json& json, bool special, const std::string& where, const char* what) {
  TORCH_CHECK(is_token(json), "[", what, "] ", where, ": got ", json.dump(), ", expected a token: a text, or an object with its content");
  if (json.is_string()) {
    return {json.get<std::string>()};
  }
  AddedToken token{json["content"].get<std::string>()};
  const auto flag = [&](const char* name, bool otherwise) { return optional_bool(json, name, where, what).value_or(otherwise); };
  token.special = flag("special", special);
  token.normalized = flag("normalized", !token.special);
  token.single_word = flag("single_word", false);
  token.lstrip = flag("lstrip", false);
  token.rstrip = flag("rstrip", false);
  return token;
}

int64_t to_id(const std::string& text, const std::string& where, const char* what) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  TORCH_CHECK(error == std::errc() && end == text.data() + text.size(), "[", what, "] ", where, ": got '", text, "', expected a token id");
  return id;
}

bool ends_in(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void read_roles(const Json& json, bool special, const std::string& path, const char* what, Settings& settings) {
  for (const auto& [name, value] : json.items()) {
    const std::string where = path + ": " + name;
    if (name == "extra_special_tokens" || name == "additional_special_tokens") {
      if (name == "additional_special_tokens" && json.contains("extra_special_tokens") && !json["extra_special_tokens"].empty()) {
        continue;  // the old name of the same list
      }
      for (const Json& token : value) {
        settings.extra_special_tokens.push_back(to_token(token, /*special=*/true, where, what));
        settings.extra_special_tokens.back().special = true;
      }
    } else if (ends_in(name, "_token")) {
      const bool known = std::find(std::begin(kRoles), std::end(kRoles), name) != std::end(kRoles);
      if (value.is_null()) {
        settings.roles.erase(name);
      } else if (known || is_token(value)) {
        AddedToken token = to_token(value, special, where, what);
        token.special = true;
        settings.roles[name] = std::move(token);
      }
    }
  }
}

bool is_left(const Json& config, const char* name, const std::string& path, const char* what) {
  if (!config.contains(name)) {
    return false;
  }
  const Json& side = config[name];
  TORCH_CHECK(side == "left" || side == "right", "[", what, "] ", path, ": ", name, ": got ", side.dump(),
              ", expected \"left\" or \"right\"");
  return side == "left";
}

std::optional<int64_t> read_max_length(const Json& config, const std::string& path, const char* what) {
  for (const char* name : {"model_max_length", "max_len"}) {
    if (!config.contains(name) || config[name].is_null()) {
      continue;
    }
    const Json& length = config[name];
    TORCH_CHECK(length.is_number() && length.get<double>() >= 2, "[", what, "] ", path, ": ", name, ": got ", length.dump(),
                ", expected a number of tokens, at least 2");
    return length.get<double>() < 1e18 ? static_cast<int64_t>(length.get<double>()) : kNoMaxLength;
  }
  return std::nullopt;
}

}  // namespace

std::optional<bool> optional_bool(const Json& config, const char* name, const std::string& path, const char* what) {
  const auto found = config.find(name);
  if (found == config.end() || found->is_null()) {
    return std::nullopt;
  }
  TORCH_CHECK(found->is_boolean(), "[", what, "] ", path, ": ", name, ": got ", found->dump(), ", expected true or false");
  return found->get<bool>();
}

std::vector<AddedToken> Settings::tokens_to_add() const {
  std::vector<AddedToken> tokens;
  for (const auto& [id, token] : added_tokens_decoder) {
    tokens.push_back(token);
  }
  for (const char* name : kRoles) {
    if (const auto found = roles.find(name); found != roles.end()) {
      tokens.push_back(found->second);
    }
  }
  for (const auto& [name, token] : roles) {
    if (std::find(std::begin(kRoles), std::end(kRoles), name) == std::end(kRoles)) {
      tokens.push_back(token);
    }
  }
  tokens.insert(tokens.end(), extra_special_tokens.begin(), extra_special_tokens.end());
  return tokens;
}

const AddedToken& Settings::role(const std::string& name, const char* what) const {
  const auto found = roles.find(name);
  TORCH_CHECK(found != roles.end() && !found->second.content.empty(), "[", what, "] ", name, ": got none, expected a token");
  return found->second;
}

Settings read_settings(const std::string& folder, std::map<std::string, AddedToken> roles, const Json* tokenizer, Json& config,
                       const char* what) {
  Settings settings;
  settings.roles = std::move(roles);
  const std::string path = join(folder, "tokenizer_config.json");
  config = is_file(path) ? read_object(path, what) : Json::object();
  settings.model_max_length = read_max_length(config, path, what);
  settings.pad_left = is_left(config, "padding_side", path, what);
  settings.truncate_left = is_left(config, "truncation_side", path, what);
  settings.clean_up_tokenization_spaces = optional_bool(config, "clean_up_tokenization_spaces", path, what).value_or(false);
  read_roles(config, /*special=*/false, path, what, settings);

  auto& decoder = settings.added_tokens_decoder;
  if (config.contains("added_tokens_decoder")) {
    const std::string where = path + ": added_tokens_decoder";
    TORCH_CHECK(config["added_tokens_decoder"].is_object(), "[", what, "] ", where, ": expected a JSON object");
    for (const auto& [id, token] : config["added_tokens_decoder"].items()) {
      decoder[to_id(id, where, what)] = to_token(token, /*special=*/false, where, what);
    }
  } else {
    if (const std::string map = join(folder, "special_tokens_map.json"); is_file(map)) {
      read_roles(read_object(map, what), /*special=*/true, map, what, settings);
    }
    if (const std::string added = join(folder, "added_tokens.json"); is_file(added)) {
      const Json ids = read_object(added, what);
      for (const auto& [content, id] : ids.items()) {
        TORCH_CHECK(id.is_number_integer(), "[", what, "] ", added, ": got ", id.dump(), ", expected a token id");
        const auto is_it = [&](const AddedToken& token) { return token.content == content; };
        const auto& extra = settings.extra_special_tokens;
        const bool special =
            std::any_of(extra.begin(), extra.end(), is_it) ||
            std::any_of(settings.roles.begin(), settings.roles.end(), [&](const auto& role) { return is_it(role.second); });
        decoder[id.get<int64_t>()] = {content, special, !special};
      }
    }
    if (tokenizer != nullptr && tokenizer->contains("added_tokens")) {
      const std::string where = join(folder, "tokenizer.json") + ": added_tokens";
      for (const Json& token : (*tokenizer)["added_tokens"]) {
        TORCH_CHECK(token.is_object() && token.contains("id") && token["id"].is_number_integer(), "[", what, "] ", where,
                    ": expected objects with an id");
        decoder[token["id"].get<int64_t>()] = to_token(token, /*special=*/false, where, what);
      }
    }
  }
  for (auto& [name, role] : settings.roles) {  // the decoder knows their flags
    for (const auto& [id, token] : decoder) {
      if (token.content == role.content) {
        role = token;
      }
    }
    role.special = true;
  }
  return settings;
}

}  // namespace torch_hpu::text
