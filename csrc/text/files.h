// Files of tokenizers, read and written whole. Errors begin with [what] and name the file.
#pragma once

#include <c10/util/Exception.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace torch_hpu::text {

using Json = nlohmann::json;  // sorted: an ordered one takes quadratic time for a vocabulary

bool is_file(const std::string& path);
std::string join(const std::string& folder, const std::string& name);

std::string read_file(const std::string& path, const char* what);
Json read_object(const std::string& path, const char* what);  // the file holds a JSON object

// The lines of a file in UTF-8, without their ends. The last one need not have an end.
std::vector<std::string> read_lines(const std::string& path, const char* what);

void make_folder(const std::string& path, const char* what);
void write_file(const std::string& path, const std::string& text, const char* what);  // appears under its name only when it is whole

}  // namespace torch_hpu::text
