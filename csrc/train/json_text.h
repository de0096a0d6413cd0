// JSON and Python literals as text, character by character as Python's json and repr write them.
#pragma once

#include <c10/util/Exception.h>
#include <torch_hpu/training_log.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace torch_hpu::train {

std::string python_float(double value);            // repr(value)
std::string python_repr(const std::string& text);  // repr(text), for UTF-8
std::string json_string(const std::string& text);  // in quotes, ASCII only; bytes that are no UTF-8 become U+FFFD
nlohmann::ordered_json to_json(const Log& log);
Log log_from_json(const nlohmann::ordered_json& json, const std::string& what);

// json.dumps(value), with indent >= 0 over several lines.
std::string dump_json(const nlohmann::ordered_json& value, int indent = -1, bool sort_keys = false);

// json.loads(text): NaN, Infinity and -Infinity are numbers. Throws c10::Error that begins with `what`.
nlohmann::ordered_json parse_json(const std::string& text, const std::string& what);

// json[name] as a text, a number, a whole number or a list of numbers. Throws c10::Error that begins with `what` when it is none.
template <typename T>
T json_field(const nlohmann::ordered_json& json, const char* name, const std::string& what) {
  constexpr bool text = std::is_same_v<T, std::string>, whole = std::is_same_v<T, int64_t>, number = std::is_same_v<T, double>;
  static_assert(text || whole || number || std::is_same_v<T, std::vector<double>>);
  const auto found = json.find(name);
  TORCH_CHECK(found != json.end(), what, " has no '", name, "'");
  const bool fits = text     ? found->is_string()
                    : whole  ? found->is_number_integer()
                    : number ? found->is_number()
                             : found->is_array() && std::all_of(found->begin(), found->end(), [](const auto& j) { return j.is_number(); });
  TORCH_CHECK(fits, what, ": ", name, ": got ", dump_json(*found), ", expected ",
              text     ? "a text"
              : whole  ? "a whole number"
              : number ? "a number"
                       : "a list of numbers");
  return found->template get<T>();
}

}  // namespace torch_hpu::train
