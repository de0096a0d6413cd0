#include "csrc/text/unicode.h"

#include <c10/util/Exception.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uset.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <iterator>

namespace torch_hpu::text {
namespace {

struct Range {
  char32_t first, last;
};

// Assigned in Unicode 15.1 and 16.
constexpr Range kNewLetters[] = {{0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
                                 {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E},
                                 {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0},
                                 {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
                                 {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}};
constexpr Range kNewNumbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139},
                                 {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA}};
// Capitals of Unicode 16 and 17, and how far away their small letters are.
struct Capitals {
  char32_t first, last;
  int32_t distance;
};
constexpr Capitals kNewCapitals[] = {{0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
                                     {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
                                     {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
                                     {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
                                     {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B}};

template <typename T, size_t n>
const T* find(const T (&ranges)[n], char32_t c) {
  const T* range = std::lower_bound(ranges, ranges + n, c, [](const T& r, char32_t x) { return r.last < x; });
  return range != ranges + n && range->first <= c ? range : nullptr;
}

UChar32 icu(char32_t c) {
  return static_cast<UChar32>(c);
}

bool in_version(char32_t c, int version) {
  UVersionInfo age;
  u_charAge(icu(c), age);
  return age[0] != 0 && (age[0] < version || (age[0] == version && age[1] == 0));
}

bool has_category(char32_t c, uint32_t categories) {
  return (U_GET_GC_MASK(icu(c)) & categories) != 0;
}

void check(UErrorCode error) {
  TORCH_INTERNAL_ASSERT(U_SUCCESS(error), "ICU: ", u_errorName(error));
}

const UNormalizer2* of_version_9(const UNormalizer2* form, UErrorCode error) {
  check(error);
  static constexpr UChar kPattern[] = u"[:age=9.0:]";
  USet* known = uset_openPattern(kPattern, -1, &error);
  check(error);
  uset_freeze(known);
  const UNormalizer2* filtered = unorm2_openFiltered(form, known, &error);  // for the life of the process
  check(error);
  return filtered;
}

std::u32string normalise(const UNormalizer2* form, const std::u32string& text) {
  std::u16string source;
  for (const char32_t c : text) {
    UChar units[U16_MAX_LENGTH];
    int32_t n = 0;
    U16_APPEND_UNSAFE(units, n, c);
    source.append(units, static_cast<size_t>(n));
  }
  UErrorCode error = U_ZERO_ERROR;
  const auto size = static_cast<int32_t>(source.size());
  std::u16string target(source.size() + 16, u'\0');
  int32_t length = unorm2_normalize(form, source.data(), size, target.data(), static_cast<int32_t>(target.size()), &error);
  if (error == U_BUFFER_OVERFLOW_ERROR) {
    error = U_ZERO_ERROR;
    target.resize(static_cast<size_t>(length));
    length = unorm2_normalize(form, source.data(), size, target.data(), length, &error);
  }
  check(error);
  std::u32string normal;
  normal.reserve(text.size());
  for (int32_t i = 0; i < length;) {
    UChar32 c;
    U16_NEXT(target.data(), i, length, c);
    normal.push_back(static_cast<char32_t>(c));
  }
  return normal;
}

}  // namespace

std::u32string from_utf8(std::string_view bytes) {
  std::u32string text;
  text.reserve(bytes.size());
  const auto length = static_cast<int64_t>(bytes.size());
  for (int64_t i = 0; i < length;) {
    UChar32 c;
    U8_NEXT_OR_FFFD(reinterpret_cast<const uint8_t*>(bytes.data()), i, length, c);
    text.push_back(static_cast<char32_t>(c));
  }
  return text;
}

std::string to_utf8(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t c : text) {
    uint8_t units[U8_MAX_LENGTH];
    int32_t n = 0;
    U8_APPEND_UNSAFE(units, n, icu(c));
    bytes.append(reinterpret_cast<const char*>(units), static_cast<size_t>(n));
  }
  return bytes;
}

std::u32string compose(std::u32string text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; })) {
    return text;
  }
  UErrorCode error = U_ZERO_ERROR;
  static const UNormalizer2* const form = of_version_9(unorm2_getNFCInstance(&error), error);
  return normalise(form, text);
}

std::u32string decompose(std::u32string text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; })) {
    return text;
  }
  UErrorCode error = U_ZERO_ERROR;
  static const UNormalizer2* const form = of_version_9(unorm2_getNFDInstance(&error), error);
  return normalise(form, text);
}

std::u32string lower(std::u32string_view text) {
  std::u32string small;
  small.reserve(text.size());
  for (const char32_t c : text) {
    if (c == 0x130) {  // the one letter that becomes two
      small += U"i\u0307";
    } else if (const Capitals* capitals = find(kNewCapitals, c)) {
      small.push_back(c + static_cast<char32_t>(capitals->distance));
    } else {
      small.push_back(in_version(c, 17) ? static_cast<char32_t>(u_tolower(icu(c))) : c);
    }
  }
  return small;
}

bool is_space(char32_t c) {
  return u_isUWhiteSpace(icu(c));
}

bool is_letter(char32_t c) {
  return find(kNewLetters, c) != nullptr || (has_category(c, U_GC_L_MASK) && in_version(c, 16));
}

bool is_number(char32_t c) {
  return find(kNewNumbers, c) != nullptr || (has_category(c, U_GC_N_MASK) && in_version(c, 16));
}

bool is_word(char32_t c) {
  return has_category(c, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK) || u_hasBinaryProperty(icu(c), UCHAR_ALPHABETIC) ||
         u_hasBinaryProperty(icu(c), UCHAR_JOIN_CONTROL);
}

// U+1734, U+1885, U+1886, U+A9BD, U+111C9 and U+166D were of another category in Unicode 8 than they are today.
bool is_accent(char32_t c) {
  return c == 0x1734 || (has_category(c, U_GC_MN_MASK) && in_version(c, 8) && c != 0x1885 && c != 0x1886 && c != 0xA9BD && c != 0x111C9);
}

bool is_control(char32_t c) {
  return has_category(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK) && in_version(c, 8);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) {
    return c > ' ' && c < 0x7F && !u_isalnum(icu(c));
  }
  return c == 0x166D || c == 0x111C9 || (has_category(c, U_GC_P_MASK) && in_version(c, 8));
}

bool is_ideograph(char32_t c) {
  constexpr Range kIdeographs[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
                                   {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  return find(kIdeographs, c) != nullptr;
}

}  // namespace torch_hpu::text
