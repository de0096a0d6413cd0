#include "csrc/diffusion/models/config_fields.h"

#include <c10/util/Exception.h>

#include <algorithm>

namespace torch_hpu::diffusion {

ConfigFields::ConfigFields(std::string noun, const std::string& text) : noun_(std::move(noun)) {
  json_ = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  TORCH_CHECK_VALUE(!json_.is_discarded(), "[", noun_, "] the config is not valid JSON");
  TORCH_CHECK_VALUE(json_.is_object(), "[", noun_, "] the config must be a JSON object: got ", json_.type_name());
}

const Json* ConfigFields::find(const char* name) {
  seen_.insert(name);
  const auto found = json_.find(name);
  return found == json_.end() ? nullptr : &*found;
}

void ConfigFields::wrong(const char* name, const Json& got, const std::string& expected) const {
  std::string shown = got.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (shown.size() > 200) {
    shown = shown.substr(0, 200) + "...";
  }
  TORCH_CHECK_VALUE(false, "[", noun_, "] config field ", name, " is not supported: got ", shown, ", expected ", expected);
}

void ConfigFields::read(const char* name, bool& value) {
  if (const Json* field = find(name)) {
    field->is_boolean() ? void(value = field->get<bool>()) : wrong(name, *field, "true or false");
  }
}

void ConfigFields::read(const char* name, double& value) {
  if (const Json* field = find(name)) {
    field->is_number() ? void(value = field->get<double>()) : wrong(name, *field, "a number");
  }
}

void ConfigFields::read(const char* name, std::string& value) {
  if (const Json* field = find(name)) {
    field->is_string() ? void(value = field->get<std::string>()) : wrong(name, *field, "a text");
  }
}

void ConfigFields::read(const char* name, int64_t& value, int64_t low, int64_t high) {
  if (const Json* field = find(name)) {
    std::vector<int64_t> list;
    read(name, list, low, high);
    field->is_array() ? wrong(name, *field, "a whole number") : void(value = list[0]);
  }
}

void ConfigFields::read(const char* name, std::vector<std::string>& value) {
  if (const Json* field = find(name)) {
    const auto is_text = [](const Json& item) { return item.is_string(); };
    if (!field->is_array() || !std::all_of(field->begin(), field->end(), is_text)) {
      wrong(name, *field, "a list of texts");
    }
    value = field->get<std::vector<std::string>>();
  }
}

void ConfigFields::read(const char* name, std::vector<bool>& value) {
  if (const Json* field = find(name)) {
    const Json list = field->is_array() ? *field : Json::array({*field});
    for (const Json& item : list) {
      if (!item.is_boolean()) {
        wrong(name, *field, "true or false, or a list of them");
      }
    }
    value = list.get<std::vector<bool>>();
  }
}

void ConfigFields::read(const char* name, std::vector<int64_t>& value, int64_t low, int64_t high) {
  if (const Json* field = find(name)) {
    const Json list = field->is_array() ? *field : Json::array({*field});
    for (const Json& item : list) {
      const bool whole = item.is_number_integer() && !(item.is_number_unsigned() && item.get<uint64_t>() > INT64_MAX);
      if (!whole || item.get<int64_t>() < low || item.get<int64_t>() > high) {
        wrong(name, *field, c10::str("whole numbers from ", low, " to ", high));
      }
    }
    value = list.get<std::vector<int64_t>>();
  }
}

void ConfigFields::read(const char* name, std::vector<double>& value) {
  if (const Json* field = find(name)) {
    const Json list = field->is_array() ? *field : Json::array({*field});
    for (const Json& item : list) {
      if (!item.is_number()) {
        wrong(name, *field, "numbers");
      }
    }
    value = list.get<std::vector<double>>();
  }
}

void ConfigFields::expect(const char* name, const Json& neutral) {
  const Json* field = find(name);
  if (field && *field != neutral) {
    wrong(name, *field, neutral.dump());
  }
}

void ConfigFields::ignore(const char* name) {
  find(name);
}

void ConfigFields::finish() const {
  std::string unknown;
  for (const auto& [name, value] : json_.items()) {
    const bool neutral = value.is_null() || value == Json(false) || (value.is_structured() && value.empty());
    if (!seen_.count(name) && !name.starts_with("_") && !neutral) {
      unknown += (unknown.empty() ? "" : ", ") + name;
    }
  }
  TORCH_CHECK_VALUE(unknown.empty(), "[", noun_, "] the config has fields that are not known: ", unknown);
}

Json one_or_list(const std::vector<int64_t>& values) {
  return values.empty() ? Json() : values.size() == 1 ? Json(values[0]) : Json(values);
}

Json one_or_list(const std::vector<bool>& values) {
  return values.size() == 1 ? Json(static_cast<bool>(values[0])) : Json(values);
}

template <typename T>
std::vector<T> per_block(const std::string& noun, const char* name, const std::vector<T>& values, size_t count) {
  TORCH_CHECK_VALUE(values.size() == 1 || values.size() == count, "[", noun, "] ", name,
                    " must have one value, or one for each block: got ", values.size(), " values, expected ", count);
  return values.size() == count ? values : std::vector<T>(count, values[0]);
}

template std::vector<int64_t> per_block(const std::string&, const char*, const std::vector<int64_t>&, size_t);
template std::vector<bool> per_block(const std::string&, const char*, const std::vector<bool>&, size_t);

}  // namespace torch_hpu::diffusion
