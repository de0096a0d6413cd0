#include "csrc/text/files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "csrc/text/unicode.h"

namespace torch_hpu::text {

bool is_file(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

std::string join(const std::string& folder, const std::string& name) {
  return (std::filesystem::path(folder) / name).string();
}

std::string read_file(const std::string& path, const char* what) {
  std::error_code error;
  TORCH_CHECK(!std::filesystem::is_directory(path, error), "[", what, "] cannot open ", path, ": it is a folder");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  TORCH_CHECK(in.good(), "[", what, "] cannot open ", path, errno == 0 ? "" : ": ", errno == 0 ? "" : std::strerror(errno));
  return {std::istreambuf_iterator<char>(in), {}};
}

Json read_object(const std::string& path, const char* what) {
  const std::string text = read_file(path, what);
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& error) {
    TORCH_CHECK(false, "[", what, "] ", path, " is no JSON: ", error.what());
  }
  TORCH_CHECK(json.is_object(), "[", what, "] ", path, ": got ", json.type_name(), ", expected a JSON object");
  return json;
}

std::vector<std::string> read_lines(const std::string& path, const char* what) {
  const std::string text = read_file(path, what);
  TORCH_CHECK(to_utf8(from_utf8(text)) == text, "[", what, "] ", path, " is no UTF-8");
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    if (end < text.size() && !lines.back().empty() && lines.back().back() == '\r') {
      lines.back().pop_back();
    }
    begin = end + 1;
  }
  return lines;
}

void make_folder(const std::string& path, const char* what) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && !std::filesystem::is_directory(path, error) && !error) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  TORCH_CHECK(!error, "[", what, "] cannot make the folder ", path, ": ", error.message());
}

void write_file(const std::string& path, const std::string& text, const char* what) {
  const std::string partial = path + ".partial";
  errno = 0;
  std::ofstream out(partial, std::ios::binary);
  out << text;
  out.close();
  TORCH_CHECK(out.good(), "[", what, "] cannot write ", partial, errno == 0 ? "" : ": ", errno == 0 ? "" : std::strerror(errno));
  TORCH_CHECK(std::rename(partial.c_str(), path.c_str()) == 0, "[", what, "] cannot rename ", partial, " to ", path, ": ",
              std::strerror(errno));
}

}  // namespace torch_hpu::text
