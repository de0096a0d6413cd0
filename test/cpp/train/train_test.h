// What the tests of arguments, configs and the trainer share: a folder for each test, and errors compared by their words.
#pragma once

#include <c10/util/Exception.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace torch_hpu::test {

// Whether f() throws c10::Error with the text in its words.
template <typename F>
testing::AssertionResult throws(F f, const std::string& text) {
  try {
    f();
  } catch (const c10::Error& error) {
    const std::string words = error.what_without_backtrace();
    return words.find(text) != std::string::npos ? testing::AssertionSuccess() : testing::AssertionFailure() << "other words: " << words;
  }
  return testing::AssertionFailure() << "no error; expected one with: " << text;
}

class InFolder : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string(test->test_suite_name()) + "_" + test->name() + "_" + std::to_string(::getpid());
    std::replace(name.begin(), name.end(), '/', '_');
    folder_ = std::filesystem::temp_directory_path() / ("torch_hpu_" + name);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    std::filesystem::remove_all(folder_);
  }
  std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  static std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::filesystem::path folder_;
};

}  // namespace torch_hpu::test
