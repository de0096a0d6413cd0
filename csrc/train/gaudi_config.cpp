#include <torch_hpu/gaudi_config.h>

#include <c10/util/Exception.h>

#include <filesystem>

#include "csrc/train/files.h"
#include "csrc/train/json_text.h"

namespace torch_hpu {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::pair<const char*, bool GaudiConfig::*> kFlags[] = {{"use_torch_autocast", &GaudiConfig::use_torch_autocast},
                                                                  {"use_dynamic_shapes", &GaudiConfig::use_dynamic_shapes},
                                                                  {"use_fused_adam", &GaudiConfig::use_fused_adam},
                                                                  {"use_fused_clip_norm", &GaudiConfig::use_fused_clip_norm}};
constexpr std::pair<const char*, std::optional<std::vector<std::string>> GaudiConfig::*> kLists[] = {
    {"autocast_bf16_ops", &GaudiConfig::autocast_bf16_ops}, {"autocast_fp32_ops", &GaudiConfig::autocast_fp32_ops}};

}  // namespace

GaudiConfig GaudiConfig::from_json(const std::string& text, const std::string& what) {
  const Json json = train::parse_json(text, "[GaudiConfig] " + what);
  TORCH_CHECK(json.is_object(), "[GaudiConfig] ", what, ": expected a JSON object");
  GaudiConfig config;
  for (const auto& [name, member] : kFlags) {
    if (json.contains(name)) {
      TORCH_CHECK(json[name].is_boolean(), "[GaudiConfig] ", what, ": ", name, ": got ", json[name].dump(), ", expected true or false");
      config.*member = json[name].get<bool>();
    }
  }
  for (const auto& [name, member] : kLists) {
    if (json.contains(name) && !json[name].is_null()) {
      std::vector<std::string> ops;
      TORCH_CHECK(json[name].is_array(), "[GaudiConfig] ", what, ": ", name, ": got ", json[name].dump(), ", expected a list of op names");
      for (const Json& op : json[name]) {
        TORCH_CHECK(op.is_string(), "[GaudiConfig] ", what, ": ", name, ": got ", op.dump(), ", expected the name of an op");
        ops.push_back(op.get<std::string>());
      }
      config.*member = std::move(ops);
    }
  }
  TORCH_CHECK(config.autocast_bf16_ops.has_value() == config.autocast_fp32_ops.has_value(), "[GaudiConfig] ", what,
              ": only one of autocast_bf16_ops and autocast_fp32_ops is given, expected both or none");
  return config;
}

GaudiConfig GaudiConfig::from_pretrained(const std::string& path) {
  const std::string file = std::filesystem::is_directory(path) ? (std::filesystem::path(path) / "gaudi_config.json").string() : path;
  return from_json(train::read_file(file, "GaudiConfig"), file);
}

std::string GaudiConfig::to_json() const {
  Json json = Json::object();
  for (const auto& [name, member] : kLists) {
    json[name] = this->*member ? Json(*(this->*member)) : Json(nullptr);
  }
  for (const auto& [name, member] : kFlags) {
    json[name] = this->*member;
  }
  return train::dump_json(json, 2);
}

void GaudiConfig::save_pretrained(const std::string& folder) const {
  train::make_folder(folder, "GaudiConfig");
  train::write_atomically((std::filesystem::path(folder) / "gaudi_config.json").string(), to_json() + "\n", "GaudiConfig");
}

}  // namespace torch_hpu
