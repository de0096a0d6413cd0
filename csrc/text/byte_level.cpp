#include "csrc/text/byte_level.h"

#include <unordered_map>

#include "csrc/text/unicode.h"

namespace torch_hpu::text {
namespace {

bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::u32string_view kMarkers[] = {U"<|startoftext|>", U"<|endoftext|>"};
constexpr std::u32string_view kContractions[] = {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};

bool begins_with(std::u32string_view text, std::u32string_view begin) {
  return text.substr(0, begin.size()) == begin;
}

bool is_other(char32_t c) {
  return !is_space(c) && !is_letter(c) && !is_number(c);
}

template <typename F>
size_t run(std::u32string_view text, F belongs) {
  size_t n = 0;
  while (n < text.size() && belongs(text[n])) {
    ++n;
  }
  return n;
}

}  // namespace

const std::array<std::string, 256>& byte_characters() {
  static const auto characters = [] {
    std::array<std::string, 256> all;
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t c = is_printable(byte) ? static_cast<char32_t>(byte) : next++;
      all[static_cast<size_t>(byte)] = to_utf8({&c, 1});
    }
    return all;
  }();
  return characters;
}

const std::array<uint8_t, 256>& byte_order() {
  static const auto order = [] {
    std::array<uint8_t, 256> all{};
    size_t n = 0;
    for (const bool printable : {true, false}) {
      for (int byte = 0; byte < 256; ++byte) {
        if (is_printable(byte) == printable) {
          all[n++] = static_cast<uint8_t>(byte);
        }
      }
    }
    return all;
  }();
  return order;
}

std::string to_bytes(const std::vector<std::string>& tokens) {
  static const auto bytes_of = [] {
    std::unordered_map<char32_t, char> all;
    for (size_t byte = 0; byte < 256; ++byte) {
      all[from_utf8(byte_characters()[byte]).front()] = static_cast<char>(byte);
    }
    return all;
  }();
  std::string bytes;
  for (const std::string& token : tokens) {
    std::string known;
    bool all = true;
    for (const char32_t c : from_utf8(token)) {
      const auto found = bytes_of.find(c);
      all = all && found != bytes_of.end();
      if (all) {
        known.push_back(found->second);
      }
    }
    bytes += all ? known : token;
  }
  return bytes;
}

std::u32string clip_normalise(std::u32string_view text) {
  std::u32string normal;
  for (const char32_t c : compose(std::u32string(text))) {
    if (!is_space(c)) {
      normal.push_back(c);
    } else if (normal.empty() || normal.back() != U' ') {
      normal.push_back(U' ');
    }
  }
  return lower(normal);
}

// The tokenizer cuts by one regular expression and its byte level by another one, which takes a marker that is no added token apart again.
void for_each_clip_word(std::u32string_view text, const std::function<void(std::u32string_view)>& use) {
  const auto take = [&](size_t n) {
    use(text.substr(0, n));
    text.remove_prefix(n);
  };
  const auto take_one_of = [&](const auto& words, auto how) {
    for (const std::u32string_view word : words) {
      if (begins_with(text, word)) {
        how(word.size());
        return true;
      }
    }
    return false;
  };
  while (!text.empty()) {
    const char32_t c = text.front();
    if (is_space(c)) {
      text.remove_prefix(1);
    } else if (c == U'<' && take_one_of(kMarkers, [&](size_t n) { take(2), take(n - 4), take(2); })) {
    } else if (c == U'\'' && take_one_of(kContractions, take)) {
    } else if (is_letter(c)) {
      take(run(text, is_letter));
    } else {
      take(is_number(c) ? 1 : run(text, is_other));
    }
  }
}

}  // namespace torch_hpu::text
