// Reading config.json field by field, so that every mistake is reported with the field's name.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace torch_hpu::diffusion {

using Json = nlohmann::json;

inline constexpr int64_t kMostChannels = 1 << 20;  // of any layer: far above what exists, and their products fit in 64 bits
inline constexpr int64_t kMostLayers = 128;

// A field that the file does not have keeps the value that was in the variable.
class ConfigFields {
 public:
  ConfigFields(std::string noun, const std::string& text);

  void read(const char* name, bool& value);
  void read(const char* name, double& value);
  void read(const char* name, std::string& value);
  void read(const char* name, int64_t& value, int64_t low = 1, int64_t high = kMostChannels);
  void read(const char* name, std::vector<std::string>& value);
  // One value or a list.
  void read(const char* name, std::vector<bool>& value);
  void read(const char* name, std::vector<int64_t>& value, int64_t low = 1, int64_t high = kMostChannels);
  void read(const char* name, std::vector<double>& value);
  // null: no value.
  template <typename T, typename... Bounds>
  void read(const char* name, std::optional<T>& value, Bounds... bounds) {
    const Json* field = find(name);
    if (field && field->is_null()) {
      value.reset();
    } else if (field) {
      T read_value{};
      read(name, read_value, bounds...);
      value = read_value;
    }
  }

  // Throws unless the field is missing or has this value: what it switches on is not there.
  void expect(const char* name, const Json& neutral);
  void ignore(const char* name);  // knows the field, which says nothing about the computation
  // Throws with the names of all fields that were not asked for, other than _private ones and those that are null, false or empty.
  void finish() const;

 private:
  const Json* find(const char* name);  // null if the file does not have it
  [[noreturn]] void wrong(const char* name, const Json& got, const std::string& expected) const;

  std::string noun_;
  Json json_;
  std::set<std::string> seen_;
};

Json one_or_list(const std::vector<int64_t>& values);
Json one_or_list(const std::vector<bool>& values);
template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// The values for each of `count` blocks; throws when there is neither one nor count of them.
template <typename T>
std::vector<T> per_block(const std::string& noun, const char* name, const std::vector<T>& values, size_t count);

}  // namespace torch_hpu::diffusion
