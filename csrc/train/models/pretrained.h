// What the models have in common: reading config.json field by field, so that every mistake is reported with the field's name, their folders, and the
// loss of a classification head.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch_hpu/models/classes.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace torch_hpu::train {

inline constexpr int64_t kMostUnits = int64_t{1} << 24;  // of any size in a config: far above what exists, and products fit in 64 bits

// A field that the file does not have, or has as null, keeps the value that was in the variable.
class ConfigReader {
 public:
  // noun: the config's name in errors. Throws unless the text is an object with this model_type.
  ConfigReader(std::string noun, const std::string& text, const char* model_type);

  void read(const char* name, bool& value) const;
  void read(const char* name, double& value) const;
  void read(const char* name, std::string& value) const;
  void read(const char* name, int64_t& value) const;
  void read(const char* name, std::vector<int64_t>& value) const;
  // One number for all `count` places, or a list of so many.
  void read_each(const char* name, std::vector<int64_t>& value, size_t count) const;
  // null: no value.
  template <typename T>
  void read(const char* name, std::optional<T>& value) const {
    if (const nlohmann::ordered_json* field = find(name)) {
      value.reset();
      if (!field->is_null()) {
        read(name, value.emplace());
      }
    }
  }
  void read_classes(Classes& classes) const;
  // Throws unless the field is missing or has this value: what it switches on is not there.
  void expect(const char* name, const nlohmann::ordered_json& neutral) const;

 private:
  const nlohmann::ordered_json* find(const char* name) const;
  const nlohmann::ordered_json* find_value(const char* name, bool (nlohmann::ordered_json::*fits)() const, const char* expected) const;
  [[noreturn]] void wrong(const char* name, const nlohmann::ordered_json& got, const std::string& expected) const;

  std::string noun_;
  nlohmann::ordered_json json_;
};

// id2label, label2id and, if one is set, problem_type.
void write_classes(nlohmann::ordered_json& json, const Classes& classes);

// Throw with the field's name.
void check_sizes(const char* noun, const std::vector<std::pair<const char*, int64_t>>& sizes);                 // 1 to kMostUnits
void check_probabilities(const char* noun, const std::vector<std::pair<const char*, double>>& probabilities);  // 0 <= p < 1
void check_classes(const char* noun, const Classes& classes);
void check_activation(const char* noun, const char* field, const std::string& name);  // gelu, gelu_new, relu

at::Tensor activation(const std::string& name, const at::Tensor& x);

// The mean over the batch. scores [B, classes].
at::Tensor classification_loss(const char* noun, const at::Tensor& scores, const at::Tensor& labels, const Classes& classes);

// A module without parameters of its own, for a level of names.
std::shared_ptr<torch::nn::Module> branch(torch::nn::Module& parent, const std::string& name);

// Matrices (and tensors of more dims) from a normal distribution, biases 0; norms stay as they are.
void initialize(torch::nn::Module& module, double range);

// ---- folders: config.json and model.safetensors, or the index of several files
using Weights = std::map<std::string, at::Tensor>;

std::string read_config(const char* noun, const std::string& folder);
Weights read_weights(const char* noun, const std::string& folder);
// `prefix` before the names that do not begin with it or with `head`, when none does: the weights of a model without a head, for one with a head.
Weights with_prefix(Weights weights, const std::string& prefix, const std::string& head);
// Puts the module's own values of the names that begin with `head` in place of those that are read.
void keep_own(Weights& weights, const torch::nn::Module& module, const std::string& head);
// Throws with the names of all tensors that are missing, surplus or of another shape, before anything is written.
void load_weights(torch::nn::Module& module, const char* noun, const std::string& folder, const Weights& weights);

void save_config(const char* noun, const std::string& folder, const std::string& config);
void save_folder(const char* noun, const std::string& folder, const std::string& config, const Weights& weights);

}  // namespace torch_hpu::train
