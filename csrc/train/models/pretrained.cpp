#include "csrc/train/models/pretrained.h"

#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/relu.h>
#include <c10/core/GradMode.h>
#include <torch_hpu/safetensors.h>
#include <torch_hpu/state_dict.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "csrc/train/files.h"
#include "csrc/train/json_text.h"

namespace torch_hpu {

Classes Classes::of(int64_t count) {
  TORCH_CHECK_VALUE(count >= 1 && count <= train::kMostUnits, "[Classes] count: got ", count, ", expected 1 to ", train::kMostUnits);
  Classes classes;
  classes.id2label.clear();
  for (int64_t i = 0; i < count; ++i) {
    classes.id2label.push_back("LABEL_" + std::to_string(i));
  }
  return classes;
}

namespace train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const std::set<std::string> kProblemTypes{"", "regression", "single_label_classification", "multi_label_classification"};

}  // namespace

ConfigReader::ConfigReader(std::string noun, const std::string& text, const char* model_type)
    : noun_(std::move(noun)), json_(parse_json(text, "[" + noun_ + "] the config")) {
  TORCH_CHECK(json_.is_object(), "[", noun_, "] the config must be a JSON object: got ", json_.type_name());
  std::string type = model_type;
  read("model_type", type);
  TORCH_CHECK(type == model_type, "[", noun_, "] model_type: got '", type, "', expected '", model_type, "'");
}

const Json* ConfigReader::find(const char* name) const {
  const auto found = json_.find(name);
  return found == json_.end() ? nullptr : &*found;
}

const Json* ConfigReader::find_value(const char* name, bool (Json::*fits)() const, const char* expected) const {
  const Json* field = find(name);
  if (field == nullptr || field->is_null()) {
    return nullptr;
  }
  if (!(field->*fits)()) {
    wrong(name, *field, expected);
  }
  return field;
}

void ConfigReader::wrong(const char* name, const Json& got, const std::string& expected) const {
  std::string shown = dump_json(got);
  if (shown.size() > 200) {
    shown = shown.substr(0, 200) + "...";
  }
  TORCH_CHECK(false, "[", noun_, "] ", name, ": got ", shown, ", expected ", expected);
}

void ConfigReader::read(const char* name, bool& value) const {
  if (const Json* field = find_value(name, &Json::is_boolean, "true or false")) {
    value = field->get<bool>();
  }
}

void ConfigReader::read(const char* name, double& value) const {
  if (const Json* field = find_value(name, &Json::is_number, "a number")) {
    value = field->get<double>();
  }
}

void ConfigReader::read(const char* name, std::string& value) const {
  if (const Json* field = find_value(name, &Json::is_string, "a text")) {
    value = field->get<std::string>();
  }
}

void ConfigReader::read(const char* name, int64_t& value) const {
  if (const Json* field = find_value(name, &Json::is_number_integer, "a whole number")) {
    value = field->get<int64_t>();
  }
}

void ConfigReader::read(const char* name, std::vector<int64_t>& value) const {
  if (const Json* field = find_value(name, &Json::is_array, "a list of whole numbers")) {
    if (!std::all_of(field->begin(), field->end(), [](const Json& item) { return item.is_number_integer(); })) {
      wrong(name, *field, "a list of whole numbers");
    }
    value = field->get<std::vector<int64_t>>();
  }
}

void ConfigReader::read_each(const char* name, std::vector<int64_t>& value, size_t count) const {
  const Json* field = find(name);
  if (field != nullptr && field->is_number_integer()) {
    value.assign(count, field->get<int64_t>());
  } else if (field != nullptr) {
    read(name, value);
    if (value.size() != count) {
      wrong(name, *field, c10::str("a whole number or a list of ", count));
    }
  }
}

void ConfigReader::read_classes(Classes& classes) const {
  read("problem_type", classes.problem_type);
  if (const Json* field = find_value("id2label", &Json::is_object, "an object of numbers and texts")) {
    std::vector<std::string> labels(field->size());
    for (const auto& [key, label] : field->items()) {
      const bool number = !key.empty() && key.size() < 9 && key.find_first_not_of("0123456789") == std::string::npos;
      const auto index = number ? std::stoul(key) : labels.size();
      if (index >= labels.size() || !label.is_string()) {
        wrong("id2label", *field, c10::str("a text for each of 0 to ", field->size() - 1));
      }
      labels[index] = label.get<std::string>();
    }
    classes.id2label = std::move(labels);
  } else {
    int64_t count = classes.size();
    read("num_labels", count);
    check_sizes(noun_.c_str(), {{"num_labels", count}});
    if (count != classes.size()) {
      classes.id2label = Classes::of(count).id2label;
    }
  }
}

void ConfigReader::expect(const char* name, const Json& neutral) const {
  const Json* field = find(name);
  if (field != nullptr && !field->is_null() && *field != neutral) {
    wrong(name, *field, dump_json(neutral) + ": nothing else is supported");
  }
}

void write_classes(Json& json, const Classes& classes) {
  Json id2label = Json::object(), label2id = Json::object();
  for (int64_t i = 0; i < classes.size(); ++i) {
    id2label[std::to_string(i)] = classes.id2label[static_cast<size_t>(i)];
    label2id[classes.id2label[static_cast<size_t>(i)]] = i;
  }
  json["id2label"] = id2label;
  json["label2id"] = label2id;
  if (!classes.problem_type.empty()) {
    json["problem_type"] = classes.problem_type;
  }
}

void check_sizes(const char* noun, const std::vector<std::pair<const char*, int64_t>>& sizes) {
  for (const auto& [name, value] : sizes) {
    TORCH_CHECK_VALUE(value >= 1 && value <= kMostUnits, "[", noun, "] ", name, ": got ", value, ", expected 1 to ", kMostUnits);
  }
}

void check_probabilities(const char* noun, const std::vector<std::pair<const char*, double>>& probabilities) {
  for (const auto& [name, p] : probabilities) {
    TORCH_CHECK_VALUE(p >= 0 && p < 1, "[", noun, "] ", name, ": got ", p, ", expected 0 or more and below 1");
  }
}

void check_classes(const char* noun, const Classes& classes) {
  TORCH_CHECK_VALUE(classes.size() >= 1, "[", noun, "] id2label: got no class, expected 1 or more");
  TORCH_CHECK_VALUE(kProblemTypes.count(classes.problem_type) == 1, "[", noun, "] problem_type: got '", classes.problem_type,
                    "', expected regression, single_label_classification or multi_label_classification");
}

void check_activation(const char* noun, const char* field, const std::string& name) {
  TORCH_CHECK_VALUE(name == "gelu" || name == "gelu_new" || name == "relu", "[", noun, "] ", field, ": got '", name,
                    "', expected gelu, gelu_new or relu");
}

at::Tensor activation(const std::string& name, const at::Tensor& x) {
  return name == "relu" ? at::relu(x) : at::gelu(x, name == "gelu" ? "none" : "tanh");
}

at::Tensor classification_loss(const char* noun, const at::Tensor& scores, const at::Tensor& labels, const Classes& classes) {
  const bool integers = !labels.is_floating_point();
  const bool regression = classes.problem_type.empty() ? classes.size() == 1 : classes.problem_type == "regression";
  const bool single = classes.problem_type.empty() ? integers : classes.problem_type == "single_label_classification";
  const bool numbers = single && !regression;  // of classes, or a value for each score
  const int64_t rows = scores.size(0), expected = numbers ? rows : scores.numel();
  TORCH_CHECK(labels.dim() > 0 && labels.size(0) == rows && labels.numel() == expected, "[", noun, "] labels: got ", labels.sizes(),
              ", expected ", expected == rows ? c10::str("[", rows, "]") : c10::str(scores.sizes()));
  const at::Tensor values = scores.to(at::kFloat);
  if (regression) {
    return at::mse_loss(values, labels.to(at::kFloat).view_as(values));
  }
  if (numbers) {
    TORCH_CHECK(integers, "[", noun, "] labels: got ", labels.scalar_type(), ", expected the numbers of classes as int64");
    return at::cross_entropy_loss(values, labels.reshape({-1}).to(at::kLong));
  }
  return at::binary_cross_entropy_with_logits(values, labels.to(at::kFloat).view_as(values));
}

std::shared_ptr<torch::nn::Module> branch(torch::nn::Module& parent, const std::string& name) {
  return parent.register_module(name, std::make_shared<torch::nn::Module>(name));
}

void initialize(torch::nn::Module& module, double range) {
  const c10::AutoGradMode no_grad(false);
  for (auto& parameter : module.named_parameters()) {
    if (parameter.value().dim() > 1) {
      parameter.value().normal_(0, range);
    } else if (parameter.key().ends_with("bias")) {
      parameter.value().zero_();
    }
  }
}

std::string read_config(const char* noun, const std::string& folder) {
  TORCH_CHECK(fs::is_directory(folder), "[", noun, "] there is no folder ", folder);
  return read_file((fs::path(folder) / "config.json").string(), noun);
}

Weights read_weights(const char* noun, const std::string& folder) {
  const fs::path file = fs::path(folder) / "model.safetensors", index = fs::path(folder) / "model.safetensors.index.json";
  TORCH_CHECK(fs::exists(file) || fs::exists(index), "[", noun, "] ", folder, " has no model.safetensors",
              fs::exists(fs::path(folder) / "pytorch_model.bin")
                  ? ", only a pickle, which can run any code when it is read: save the model as safetensors and load that"
                  : "");
  return fs::exists(file) ? map_safetensors(file.string()) : load_safetensors_sharded(index.string());
}

Weights with_prefix(Weights weights, const std::string& prefix, const std::string& head) {
  if (std::any_of(weights.begin(), weights.end(), [&](const auto& item) { return item.first.starts_with(prefix); })) {
    return weights;
  }
  Weights renamed;
  for (auto& [name, tensor] : weights) {
    renamed[name.starts_with(head) ? name : prefix + name] = tensor;
  }
  return renamed;
}

void keep_own(Weights& weights, const torch::nn::Module& module, const std::string& head) {
  std::erase_if(weights, [&](const auto& item) { return item.first.starts_with(head); });
  for (const auto& [name, tensor] : state_dict(module)) {
    if (name.starts_with(head)) {
      weights[name] = tensor;
    }
  }
}

void load_weights(torch::nn::Module& module, const char* noun, const std::string& folder, const Weights& weights) {
  try {
    load_state_dict(module, weights);
  } catch (c10::Error& error) {
    error.add_context(c10::str("[", noun, "] ", folder, " was being read"));
    throw;
  }
}

void save_config(const char* noun, const std::string& folder, const std::string& config) {
  std::error_code error;
  fs::create_directories(folder, error);
  TORCH_CHECK(fs::is_directory(folder), "[", noun, "] cannot make the folder ", folder, ": ", error.message());
  write_atomically((fs::path(folder) / "config.json").string(), config + "\n", noun);
}

void save_folder(const char* noun, const std::string& folder, const std::string& config, const Weights& weights) {
  save_config(noun, folder, config);
  save_safetensors((fs::path(folder) / "model.safetensors").string(), weights);
}

}  // namespace train
}  // namespace torch_hpu
