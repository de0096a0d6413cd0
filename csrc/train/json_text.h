// JSON and Python literals as text, character by character as Python's json and repr write them.
#pragma once

#include <torch_hpu/training_log.h>

#include <nlohmann/json.hpp>

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

}  // namespace torch_hpu::train
