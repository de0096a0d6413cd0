// GPT-2's alphabet, a printable character for every byte, and CLIP's way to cut texts into words.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace torch_hpu::text {

constexpr std::string_view kEndOfWord = "</w>";

// The characters of the bytes 0 to 255, in UTF-8.
const std::array<std::string, 256>& byte_characters();

// The bytes in the order in which CLIP's vocabulary begins: printable ones first.
const std::array<uint8_t, 256>& byte_order();

// The bytes that tokens stand for; a token with any other character stands for its own.
std::string to_bytes(const std::vector<std::string>& tokens);

// NFC, one space for every run of spaces, lower case.
std::u32string clip_normalise(std::u32string_view text);

// The words of normalised text, without spaces.
void for_each_clip_word(std::u32string_view text, const std::function<void(std::u32string_view)>& use);

}  // namespace torch_hpu::text
