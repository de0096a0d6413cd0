// Models and data that the tests of the trainer train within milliseconds.
#pragma once

#include <torch/nn/modules/linear.h>
#include <torch_hpu/trainer.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randn.h>
#include <set>

#include "test/cpp/train/train_test.h"

namespace torch_hpu::test {

constexpr int64_t kFeatures = 4, kClasses = 3;

// Scores [B, kClasses] of rows "x" [B, kFeatures]; the loss when there are "labels" [B]. Remembers the size of every batch.
struct ClassifierImpl : torch::nn::Module {
  ClassifierImpl() {
    linear = register_module("linear", torch::nn::Linear(kFeatures, kClasses));
  }
  ModelOutput forward(const Batch& batch) {
    sizes.push_back(batch.at("x").size(0));
    trained.push_back(is_training());
    const at::Tensor scores = linear(batch.at("x"));
    dtypes.insert(scores.scalar_type());
    ModelOutput output;
    output.predictions = {scores};
    if (const auto labels = batch.find("labels"); labels != batch.end()) {
      output.loss = at::cross_entropy_loss(scores.to(at::kFloat), labels->second);
    }
    return output;
  }
  torch::nn::Linear linear{nullptr};
  std::vector<int64_t> sizes;
  std::vector<bool> trained;
  std::set<at::ScalarType> dtypes;  // of the scores
};
TORCH_MODULE(Classifier);

// The same weights every time.
inline Classifier classifier() {
  torch::manual_seed(3);
  return Classifier();
}

// Rows whose labels a linear model can find; every fourth label is ignored if asked for.
inline std::map<std::string, at::Tensor> class_rows(int64_t n, bool ignore_some = false, uint64_t seed = 5) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor x = at::randn({n, kFeatures}, generator);
  at::Tensor labels = x.narrow(1, 0, kClasses).argmax(1);
  for (int64_t i = 0; ignore_some && i < n; i += 4) {
    labels[i] = -100;
  }
  return {{"x", x}, {"labels", labels}};
}

inline std::shared_ptr<Dataset> class_data(int64_t n, bool ignore_some = false) {
  return std::make_shared<TensorDataset>(class_rows(n, ignore_some));
}

// What the tests of the trainer set otherwise than the defaults are. graphs: for training and inference.
inline GaudiTrainingArguments arguments(const std::string& folder, const std::string& device = "cpu") {
  GaudiTrainingArguments args;
  args.output_dir = folder;
  args.overwrite_output_dir = true;
  args.use_habana = device != "cpu";
  args.use_cpu = !args.use_habana;
  args.use_lazy_mode = args.use_habana;
  args.use_hpu_graphs_for_training = args.use_hpu_graphs_for_inference = device == "graphs";
  args.disable_tqdm = true;
  args.save_strategy = "no";
  args.per_device_train_batch_size = args.per_device_eval_batch_size = 4;
  args.learning_rate = 0.1;
  args.lr_scheduler_type = "constant";
  args.logging_steps = 1;
  return args;
}

// The values of a key in the log history, in their order.
inline std::vector<double> logged(const TrainerState& state, const std::string& key) {
  std::vector<double> values;
  for (const Log& log : state.log_history) {
    if (log.contains(key)) {
      values.push_back(log.number(key));
    }
  }
  return values;
}

}  // namespace torch_hpu::test
