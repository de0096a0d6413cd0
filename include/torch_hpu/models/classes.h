// The classes that a classification head tells apart, as the configs of transformers' models hold them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct TORCH_HPU_API Classes {
  std::vector<std::string> id2label{"LABEL_0", "LABEL_1"};
  // "regression": mean squared error. "single_label_classification": cross entropy of labels [B] int64. "multi_label_classification": binary cross
  // entropy of labels [B, classes]. Empty: regression for one class, otherwise by the type of the labels, integers or floating.
  std::string problem_type;

  static Classes of(int64_t count);  // LABEL_0, LABEL_1 ...
  int64_t size() const {
    return static_cast<int64_t>(id2label.size());
  }
};

}  // namespace torch_hpu
