// Datasets over tensors, safetensors files and lists, and the making of a batch from examples.
#include <torch_hpu/safetensors.h>
#include <torch_hpu/training_data.h>

#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <utility>

#include "csrc/train/load_example.h"

namespace torch_hpu {
namespace train {
namespace {

thread_local const std::atomic<uint64_t>* current_work = nullptr;
thread_local uint64_t my_work = 0;

}  // namespace

AbandonScope::AbandonScope(const std::atomic<uint64_t>& current, uint64_t mine)
    : outer_current_(std::exchange(current_work, &current)), outer_mine_(std::exchange(my_work, mine)) {}

AbandonScope::~AbandonScope() {
  current_work = outer_current_;
  my_work = outer_mine_;
}

std::string current_exception_text() {
  try {
    throw;
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

Example load_example(const Dataset& dataset, int64_t index) {
  if (current_work != nullptr && *current_work != my_work) {
    throw Abandoned();
  }
  TORCH_CHECK_INDEX(index >= 0 && index < dataset.size(), "[Dataset] example ", index, " does not exist: the dataset has ", dataset.size());
  try {
    return dataset.get(index);
  } catch (...) {
    TORCH_CHECK(false, "[Dataset] example ", index, " cannot be loaded: ", current_exception_text());
  }
}

}  // namespace train

namespace {

void check_index(const char* dataset, int64_t index, int64_t size) {
  TORCH_CHECK_INDEX(index >= 0 && index < size, "[", dataset, "] index: got ", index, ", expected 0 to ", size - 1);
}

}  // namespace

PadCollate::PadCollate() : PadCollate({{"input_ids", 0}, {"token_type_ids", 0}, {"attention_mask", 0}, {"labels", -100}}) {}

PadCollate::PadCollate(std::map<std::string, double> padding, int64_t multiple_of)
    : padding_(std::move(padding)), multiple_of_(multiple_of) {
  TORCH_CHECK_VALUE(multiple_of >= 1, "[PadCollate] multiple_of: got ", multiple_of, ", expected at least 1");
}

Batch PadCollate::operator()(const std::vector<Example>& examples) const {
  TORCH_CHECK_VALUE(!examples.empty(), "[PadCollate] got no examples, expected at least 1");
  TORCH_CHECK_VALUE(!examples[0].empty(), "[PadCollate] the examples have no fields");
  Batch batch;
  for (const auto& [name, first] : examples[0]) {
    std::vector<at::Tensor> rows;
    bool ragged = false;
    int64_t longest = 0;
    for (size_t i = 0; i < examples.size(); ++i) {
      const auto found = examples[i].find(name);
      TORCH_CHECK(found != examples[i].end() && examples[i].size() == examples[0].size(), "[PadCollate] example ", i,
                  " of the batch has other fields than example 0", found == examples[i].end() ? ": it has no '" + name + "'" : "");
      const at::Tensor& row = found->second;
      TORCH_CHECK(row.defined(), "[PadCollate] field '", name, "' of example ", i, " of the batch is an undefined tensor");
      TORCH_CHECK(row.dtype() == first.dtype() && row.dim() == first.dim() && (row.dim() == 1 || row.sizes().equals(first.sizes())),
                  "[PadCollate] field '", name, "': example ", i, " of the batch is ", row.scalar_type(), row.sizes(), ", example 0 is ",
                  first.scalar_type(), first.sizes());
      if (row.dim() == 1) {
        ragged |= row.numel() != first.numel();
        longest = std::max(longest, row.numel());
      }
      rows.push_back(row);
    }
    const auto padding = padding_.find(name);
    TORCH_CHECK(!ragged || padding != padding_.end(), "[PadCollate] field '", name,
                "' has different lengths in one batch, and no padding value is given for it");
    const int64_t length = (longest + multiple_of_ - 1) / multiple_of_ * multiple_of_;
    if (!ragged && (padding == padding_.end() || first.dim() != 1 || length == longest)) {
      batch.emplace(name, at::stack(rows));
      continue;
    }
    at::Tensor padded = at::full({static_cast<int64_t>(rows.size()), length}, padding->second, first.options());
    for (size_t i = 0; i < rows.size(); ++i) {
      padded.select(0, static_cast<int64_t>(i)).narrow(0, 0, rows[i].numel()).copy_(rows[i]);
    }
    batch.emplace(name, std::move(padded));
  }
  return batch;
}

Dataset::~Dataset() = default;

std::optional<int64_t> Dataset::length(int64_t) const {
  return std::nullopt;
}

Batch Dataset::get_batch(c10::IntArrayRef indices) const {
  std::vector<Example> examples;
  examples.reserve(indices.size());
  for (const int64_t index : indices) {
    examples.push_back(train::load_example(*this, index));
  }
  return PadCollate()(examples);
}

std::vector<int64_t> dataset_lengths(const Dataset& dataset) {
  std::vector<int64_t> lengths(static_cast<size_t>(dataset.size()));
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (const auto length = dataset.length(static_cast<int64_t>(i))) {
      lengths[i] = *length;
      continue;
    }
    const Example example = train::load_example(dataset, static_cast<int64_t>(i));
    const auto found = example.find("input_ids");
    TORCH_CHECK_VALUE(found != example.end() && found->second.dim() > 0,
                      "[group_by_length] the dataset does not know the lengths of its examples: Dataset::length() is empty for example ", i,
                      ", and it has no field 'input_ids'");
    lengths[i] = found->second.size(0);
  }
  return lengths;
}

TensorDataset::TensorDataset(std::map<std::string, at::Tensor> tensors) : tensors_(std::move(tensors)) {
  TORCH_CHECK_VALUE(!tensors_.empty(), "[TensorDataset] got no tensors, expected at least 1");
  for (const auto& [name, tensor] : tensors_) {
    TORCH_CHECK_VALUE(tensor.defined() && tensor.device().is_cpu(), "[TensorDataset] tensor '", name, "': got ",
                      tensor.defined() ? "one on " + tensor.device().str() : "an undefined one", ", expected one on the CPU");
    TORCH_CHECK_VALUE(tensor.dim() > 0, "[TensorDataset] tensor '", name, "' has no dimensions, expected [N, ...]");
    const auto& [first_name, first] = *tensors_.begin();
    TORCH_CHECK_VALUE(tensor.size(0) == first.size(0), "[TensorDataset] tensor '", name, "' has ", tensor.size(0), " rows, expected ",
                      first.size(0), " as tensor '", first_name, "' has");
  }
  size_ = tensors_.begin()->second.size(0);
}

int64_t TensorDataset::size() const {
  return size_;
}

Example TensorDataset::get(int64_t index) const {
  check_index("TensorDataset", index, size_);
  Example example;
  for (const auto& [name, tensor] : tensors_) {
    example.emplace(name, tensor.select(0, index));
  }
  return example;
}

std::optional<int64_t> TensorDataset::length(int64_t index) const {
  check_index("TensorDataset", index, size_);
  if (const auto found = tensors_.find("length"); found != tensors_.end() && found->second.dim() == 1) {
    return found->second.select(0, index).item().toLong();
  }
  const auto found = tensors_.find("input_ids");
  return found != tensors_.end() && found->second.dim() > 1 ? std::optional(found->second.size(1)) : std::nullopt;
}

Batch TensorDataset::get_batch(c10::IntArrayRef indices) const {
  for (const int64_t index : indices) {
    check_index("TensorDataset", index, size_);
  }
  const at::Tensor rows = at::tensor(indices, at::kLong);
  Batch batch;
  for (const auto& [name, tensor] : tensors_) {
    batch.emplace(name, tensor.index_select(0, rows));
  }
  return batch;
}

SafetensorsDataset::SafetensorsDataset(const std::string& path)
    : TensorDataset([&] {
        auto tensors = map_safetensors(path);
        TORCH_CHECK_VALUE(!tensors.empty(), "[SafetensorsDataset] ", path, " holds no tensors");
        const int64_t rows = tensors.begin()->second.dim() > 0 ? tensors.begin()->second.size(0) : 0;
        for (const auto& [name, tensor] : tensors) {
          TORCH_CHECK_VALUE(tensor.dim() > 0 && tensor.size(0) == rows, "[SafetensorsDataset] ", path, ": tensor '", name, "' has shape ",
                            tensor.sizes(), ", but an example is a row of every tensor, and tensor '", tensors.begin()->first, "' has ",
                            rows, " rows");
        }
        return tensors;
      }()) {}

ListDataset::ListDataset(std::vector<Example> examples) : examples_(std::move(examples)) {}

int64_t ListDataset::size() const {
  return static_cast<int64_t>(examples_.size());
}

Example ListDataset::get(int64_t index) const {
  check_index("ListDataset", index, size());
  return examples_[static_cast<size_t>(index)];
}

std::optional<int64_t> ListDataset::length(int64_t index) const {
  check_index("ListDataset", index, size());
  const Example& example = examples_[static_cast<size_t>(index)];
  const auto found = example.find("input_ids");
  return found != example.end() && found->second.dim() > 0 ? std::optional(found->second.size(0)) : std::nullopt;
}

}  // namespace torch_hpu
