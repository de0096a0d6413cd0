#include "csrc/train/json_text.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace torch_hpu::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 200;

// Bare words that JSON does not have, as strings that no text file holds.
struct Word {
  const char* text;
  const char* stand_in;
  double value;
};
const Word kWords[] = {{"NaN", "\x01NaN", std::numeric_limits<double>::quiet_NaN()},
                       {"Infinity", "\x01Infinity", std::numeric_limits<double>::infinity()},
                       {"-Infinity", "\x01-Infinity", -std::numeric_limits<double>::infinity()}};

// The text with the bare words as strings, the control character escaped.
std::string quote_words(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string) {
      out += text[i];
      if (text[i] == '\\' && i + 1 < text.size()) {
        out += text[++i];
      } else if (text[i] == '"') {
        in_string = false;
      }
      continue;
    }
    in_string = text[i] == '"';
    const auto* word = std::find_if(std::begin(kWords), std::end(kWords),
                                    [&](const Word& w) { return text.compare(i, std::string(w.text).size(), w.text) == 0; });
    if (word == std::end(kWords)) {
      out += text[i];
    } else {
      out += std::string("\"\\u0001") + word->text + '"';
      i += std::string(word->text).size() - 1;
    }
  }
  return out;
}

void restore_words(Json& value, const std::string& what, int depth = 0) {
  TORCH_CHECK(depth < kMaxDepth, what, " is nested more than ", kMaxDepth, " levels deep");
  if (value.is_string()) {
    for (const Word& word : kWords) {
      if (value.get_ref<const std::string&>() == word.stand_in) {
        value = word.value;
        return;
      }
    }
  } else if (value.is_structured()) {
    for (Json& child : value) {
      restore_words(child, what, depth + 1);
    }
  }
}

// The next character of UTF-8, and its length; U+FFFD and 1 for a byte that begins none.
std::pair<uint32_t, size_t> decode(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  const uint32_t first = byte(0);
  const size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
  if (length == 1) {
    return {first, 1};
  }
  uint32_t code = first & (0x7f >> length);
  for (size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 2) {
      return {0xfffd, 1};
    }
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool valid = length > 0 && code >= kLeast[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return valid ? std::pair<uint32_t, size_t>(code, length) : std::pair<uint32_t, size_t>(0xfffd, 1);
}

void append_hex(std::string& out, const char* format, uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof(text), format, value);
  out += text;
}

void dump(std::string& out, const Json& value, int indent, bool sort_keys, int depth) {
  const auto line = [&](int level) {
    if (indent >= 0) {
      out += '\n';
      out.append(static_cast<size_t>(indent * level), ' ');
    }
  };
  const char* separator = indent >= 0 ? "," : ", ";
  if (value.is_object()) {
    std::vector<std::pair<std::string, const Json*>> items;
    for (const auto& [name, child] : value.items()) {
      items.emplace_back(name, &child);
    }
    if (sort_keys) {
      std::sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    }
    out += '{';
    for (size_t i = 0; i < items.size(); ++i) {
      out += i > 0 ? separator : "";
      line(depth + 1);
      out += json_string(items[i].first) + ": ";
      dump(out, *items[i].second, indent, sort_keys, depth + 1);
    }
    if (!items.empty()) {
      line(depth);
    }
    out += '}';
  } else if (value.is_array()) {
    out += '[';
    for (size_t i = 0; i < value.size(); ++i) {
      out += i > 0 ? separator : "";
      line(depth + 1);
      dump(out, value[i], indent, sort_keys, depth + 1);
    }
    if (!value.empty()) {
      line(depth);
    }
    out += ']';
  } else if (value.is_string()) {
    out += json_string(value.get_ref<const std::string&>());
  } else if (value.is_number_float()) {
    const double number = value.get<double>();
    out += std::isnan(number) ? "NaN" : std::isinf(number) ? (number > 0 ? "Infinity" : "-Infinity") : python_float(number);
  } else {
    out += value.dump();  // null, true, false, whole numbers
  }
}

}  // namespace

std::string python_float(double value) {
  if (std::isnan(value)) {
    return "nan";
  }
  if (std::isinf(value)) {
    return value > 0 ? "inf" : "-inf";
  }
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value, std::chars_format::scientific).ptr;
  const std::string shortest(text, end);  // [-]d[.ddd]e[+-]dd
  const size_t e = shortest.find('e');
  const int exponent = std::stoi(shortest.substr(e + 1));
  const std::string sign = shortest[0] == '-' ? "-" : "";
  std::string digits = shortest.substr(sign.size(), e - sign.size());
  std::erase(digits, '.');
  const auto count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    return shortest;  // to_chars, too, writes at least two digits of exponent
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  if (exponent >= count - 1) {
    return sign + digits + std::string(static_cast<size_t>(exponent - count + 1), '0') + ".0";
  }
  return sign + digits.substr(0, static_cast<size_t>(exponent) + 1) + "." + digits.substr(static_cast<size_t>(exponent) + 1);
}

std::string python_repr(const std::string& text) {
  const char quote = text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t i = 0; i < text.size();) {
    const auto [code, length] = decode(text, i);
    if (code == static_cast<uint32_t>(quote) || code == '\\') {
      out += '\\';
      out += text[i];
    } else if (code == '\n' || code == '\r' || code == '\t') {
      out += code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t";
    } else if (code < 0x20 || (code >= 0x7f && code <= 0xa0) || code == 0xad) {
      append_hex(out, "\\x%02x", code);
    } else if (code == 0xfffd && length == 1) {
      out += "\xef\xbf\xbd";
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out + quote;
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const auto [code, length] = decode(text, i);
    i += length;
    constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kEscaped = "\"\\bfnrt";
    const size_t escape = code < 0x80 ? kPlain.find(static_cast<char>(code)) : std::string_view::npos;
    if (escape != std::string_view::npos) {
      out += '\\';
      out += kEscaped[escape];
    } else if (code >= 0x10000) {
      append_hex(out, "\\u%04x", 0xd800 + ((code - 0x10000) >> 10));
      append_hex(out, "\\u%04x", 0xdc00 + ((code - 0x10000) & 0x3ff));
    } else if (code < 0x20 || code >= 0x7f) {
      append_hex(out, code == 0x7f ? "%c" : "\\u%04x", code);
    } else {
      out += static_cast<char>(code);
    }
  }
  return out + '"';
}

std::string dump_json(const Json& value, int indent, bool sort_keys) {
  std::string out;
  dump(out, value, indent, sort_keys, 0);
  return out;
}

Json parse_json(const std::string& text, const std::string& what) {
  Json value;
  try {
    value = Json::parse(quote_words(text));
  } catch (const nlohmann::json::exception& error) {
    TORCH_CHECK(false, what, " is no valid JSON: ", error.what());
  }
  restore_words(value, what);
  return value;
}

Json to_json(const Log& log) {
  Json json = Json::object();
  for (const auto& [name, value] : log) {
    std::visit(
        [&, &key = name](const auto& each) {
          if constexpr (std::is_same_v<std::decay_t<decltype(each)>, std::monostate>) {
            json[key] = nullptr;
          } else if constexpr (std::is_same_v<std::decay_t<decltype(each)>, LogJson>) {
            json[key] = parse_json(each.text, "[Log] the value of '" + key + "'");
          } else {
            json[key] = each;
          }
        },
        value);
  }
  return json;
}

Log log_from_json(const Json& json, const std::string& what) {
  TORCH_CHECK(json.is_object(), what, ": expected an object of names and values, got ", dump_json(json));
  Log log;
  for (const auto& [name, value] : json.items()) {
    if (value.is_boolean()) {
      log.set(name, value.get<bool>());
    } else if (value.is_number_integer() && !(value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX)) {
      log.set(name, value.get<int64_t>());
    } else if (value.is_number()) {
      log.set(name, value.get<double>());
    } else if (value.is_string()) {
      log.set(name, value.get<std::string>());
    } else if (value.is_null()) {
      log.set(name, std::monostate());
    } else {
      log.set(name, LogJson{dump_json(value)});
    }
  }
  return log;
}

}  // namespace torch_hpu::train
