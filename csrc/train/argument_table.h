// The fields of GaudiTrainingArguments as rows: JSON, the command line and the checks of types run off this table.
#pragma once

#include <torch_hpu/training_arguments.h>

#include <variant>

namespace torch_hpu::train {

using Arguments = GaudiTrainingArguments;
using Member = std::variant<bool Arguments::*, int64_t Arguments::*, double Arguments::*, std::string Arguments::*,
                            std::optional<bool> Arguments::*, std::optional<int64_t> Arguments::*, std::optional<double> Arguments::*,
                            std::optional<std::string> Arguments::*, std::map<std::string, double> Arguments::*>;

struct ArgumentRow {
  const char* name;
  Member member;
  const char* help;
};
const std::vector<ArgumentRow>& argument_rows();

// Names of the original that are known and refused, unless they are given the value that switches them off.
struct RefusedArgument {
  const char* name;
  const char* reason;
};
const std::vector<RefusedArgument>& refused_arguments();

// The known name that is most like the given one, or empty.
std::string nearest_argument(const std::string& name);

}  // namespace torch_hpu::train
