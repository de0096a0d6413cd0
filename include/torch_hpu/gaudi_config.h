// GaudiConfig: gaudi_config.json, which says how Gaudi code wants its kernels and its autocast.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct TORCH_HPU_API GaudiConfig {
  bool use_torch_autocast = false;                            // bfloat16 autocast
  bool use_dynamic_shapes = false;                            // accepted: new shapes are compiled either way
  bool use_fused_adam = false;                                // accepted: AdamW is fused either way
  bool use_fused_clip_norm = false;                           // accepted: clipping is fused either way
  std::optional<std::vector<std::string>> autocast_bf16_ops;  // both or none; refused by whoever autocasts: the lists are the device's own
  std::optional<std::vector<std::string>> autocast_fp32_ops;

  // The file, or gaudi_config.json in the folder. Unknown fields are left out, as in the original; fields of a wrong type throw.
  static GaudiConfig from_pretrained(const std::string& path);
  static GaudiConfig from_json(const std::string& json, const std::string& what = "gaudi_config.json");
  std::string to_json() const;
  void save_pretrained(const std::string& folder) const;  // gaudi_config.json; makes the folder
};

}  // namespace torch_hpu
