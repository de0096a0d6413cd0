// Texts as code points, and what the tokenizers library takes characters for. ICU stays behind this header.
//
// The parts of that library hold tables of different Unicode versions. Characters that a part does not know are unassigned to it, so every
// function here asks ICU for a character's age first; what ICU itself may not know yet stands in tables.
#pragma once

#include <string>
#include <string_view>

namespace torch_hpu::text {

std::u32string from_utf8(std::string_view bytes);  // each longest broken sequence becomes one U+FFFD
std::string to_utf8(std::u32string_view text);

// Of Unicode 9: later characters neither move nor combine.
std::u32string compose(std::u32string text);    // NFC
std::u32string decompose(std::u32string text);  // NFD

std::u32string lower(std::u32string_view text);  // Unicode 17, letter by letter: without the final sigma

bool is_space(char32_t c);   // White_Space
bool is_letter(char32_t c);  // L of Unicode 16
bool is_number(char32_t c);  // N of Unicode 16
bool is_word(char32_t c);    // \w

// Of Unicode 8.
bool is_accent(char32_t c);       // Mn
bool is_control(char32_t c);      // Cc, Cf, Co
bool is_punctuation(char32_t c);  // P and ASCII's symbols

bool is_ideograph(char32_t c);  // what BERT takes for one

}  // namespace torch_hpu::text
