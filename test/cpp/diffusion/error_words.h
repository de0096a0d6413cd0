// What tests of models and schedulers share: errors compared by their words.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <vector>

// The message of what is thrown; empty if nothing is.
template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

inline void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    EXPECT_NE(text.find(word), std::string::npos) << "\"" << word << "\" is not in: " << text;
  }
}
