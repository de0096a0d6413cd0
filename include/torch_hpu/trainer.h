// GaudiTrainer: trains, evaluates and predicts with any torch::nn module, on hpu (lazily, or by HPU Graphs) and on the CPU, with the arguments,
// logs and files of optimum-habana's GaudiTrainer.
#pragma once

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch_hpu/gaudi_config.h>
#include <torch_hpu/training_arguments.h>
#include <torch_hpu/training_data.h>
#include <torch_hpu/training_log.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

// What a model makes of a batch. loss: 0-dim, the mean over the batch's items; undefined for a batch without labels. predictions: tensors [B, ...]
// (logits first).
struct ModelOutput {
  at::Tensor loss;
  std::vector<at::Tensor> predictions;
};

// A module and how it is called. The batch is on the module's device.
struct TrainerModel {
  std::shared_ptr<torch::nn::Module> module;
  std::function<ModelOutput(const Batch&)> forward;
  std::function<void(bool)> set_gradient_checkpointing;  // empty: the model has none
  std::function<void()> tie_weights;                     // after the module moved to a device; empty: nothing is tied
  // The model's own files (config.json), written into checkpoints beside model.safetensors.
  std::function<void(const std::string& folder)> save_config;
};

// A module whose forward takes a batch: `ModelOutput forward(const Batch&)`.
template <typename Module>
TrainerModel trainer_model(torch::nn::ModuleHolder<Module> module) {
  TrainerModel model;
  model.module = module.ptr();
  model.forward = [module](const Batch& batch) mutable { return module->forward(batch); };
  if constexpr (requires { module->set_gradient_checkpointing(true); }) {
    model.set_gradient_checkpointing = [module](bool on) mutable { module->set_gradient_checkpointing(on); };
  }
  if constexpr (requires { module->tie_weights(); }) {
    model.tie_weights = [module]() mutable { module->tie_weights(); };
  }
  if constexpr (requires { module->save_config(std::string()); }) {
    model.save_config = [module](const std::string& folder) { module->save_config(folder); };
  }
  return model;
}

// What callbacks may ask for; read and cleared by the trainer after each event.
struct TrainerControl {
  bool should_training_stop = false;
  bool should_epoch_stop = false;
  bool should_log = false;
  bool should_evaluate = false;
  bool should_save = false;
};

class TORCH_HPU_API TrainerCallback {
 public:
  virtual ~TrainerCallback();
  virtual void on_train_begin(const GaudiTrainingArguments&, TrainerState&, TrainerControl&) {}
  virtual void on_epoch_begin(const GaudiTrainingArguments&, TrainerState&, TrainerControl&) {}
  virtual void on_step_begin(const GaudiTrainingArguments&, TrainerState&, TrainerControl&) {}
  virtual void on_step_end(const GaudiTrainingArguments&, TrainerState&, TrainerControl&) {}
  virtual void on_log(const GaudiTrainingArguments&, TrainerState&, TrainerControl&, const Log&) {}
  virtual void on_evaluate(const GaudiTrainingArguments&, TrainerState&, TrainerControl&, const Log&) {}
  virtual void on_save(const GaudiTrainingArguments&, TrainerState&, TrainerControl&, const std::string& /*checkpoint*/) {}
  virtual void on_epoch_end(const GaudiTrainingArguments&, TrainerState&, TrainerControl&) {}
  virtual void on_train_end(const GaudiTrainingArguments&, TrainerState&, TrainerControl&) {}
  // For checkpoints: a name and a state as JSON. Empty name: nothing is kept.
  virtual std::string name() const;
  virtual std::string state() const;
  virtual void load_state(const std::string& json);
};

// Stops when the best metric has not improved by more than `threshold` for `patience` evaluations. Needs load_best_model_at_end.
class TORCH_HPU_API EarlyStoppingCallback : public TrainerCallback {
 public:
  explicit EarlyStoppingCallback(int64_t patience = 1, double threshold = 0);
  void on_train_begin(const GaudiTrainingArguments& args, TrainerState& state, TrainerControl& control) override;
  void on_evaluate(const GaudiTrainingArguments& args, TrainerState& state, TrainerControl& control, const Log& metrics) override;
  std::string name() const override;
  std::string state() const override;
  void load_state(const std::string& json) override;

 private:
  int64_t patience_, waited_ = 0;
  double threshold_;
};

// CPU tensors, all examples of a dataset in its order.
struct Predictions {
  std::vector<at::Tensor> predictions;       // [N, ...] each; float32 where the model gave half precision
  std::map<std::string, at::Tensor> labels;  // the label fields
};

struct PredictionOutput {
  Predictions values;
  Log metrics;
};

struct TrainOutput {
  int64_t global_step = 0;
  double training_loss = 0;  // mean over the steps
  Log metrics;
};

struct TrainerOptions {
  std::shared_ptr<const Dataset> train_dataset, eval_dataset;
  Collate collate;                                 // empty: the datasets' own
  std::vector<std::string> label_names{"labels"};  // fields of a batch that are labels
  std::function<Log(const Predictions&)> compute_metrics;
  std::vector<std::shared_ptr<TrainerCallback>> callbacks;
  // Another optimizer than args.optim names, over these groups (parameters that decay, parameters that do not).
  std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<torch::optim::OptimizerParamGroup>)> make_optimizer;
  // Another loss than the model's. Must be a mean over the batch's items.
  std::function<at::Tensor(const ModelOutput&, const Batch&)> compute_loss;
  // The labels of a causal language model at position t belong to the output at t - 1. Decides which labels count as items, see below.
  bool shift_labels = false;
};

// Losses of accumulated batches are weighted by their numbers of items (labels other than -100, or examples), so that loss and gradients are those of
// the big batch. Steps synchronise with the host only where something is logged.
class TORCH_HPU_API GaudiTrainer {
 public:
  // Moves the model to the arguments' device. Throws what GaudiTrainingArguments::validate() throws, and when model, arguments and options do not
  // fit each other.
  GaudiTrainer(TrainerModel model, GaudiConfig gaudi_config, GaudiTrainingArguments args, TrainerOptions options);
  ~GaudiTrainer();

  // Goes on from args.resume_from_checkpoint, if set. A checkpoint that is not whole is skipped with a warning where there is a choice.
  TrainOutput train();
  // Metrics under `prefix`_...; of args' eval_dataset when none is given.
  Log evaluate(std::shared_ptr<const Dataset> dataset = nullptr, const std::string& prefix = "eval");
  PredictionOutput predict(std::shared_ptr<const Dataset> dataset, const std::string& prefix = "test");
  // model.safetensors, config.json if the model has one, training_args.json, gaudi_config.json; by default into args.output_dir.
  void save_model(const std::string& folder = "");
  // Adds epoch and memory to a log and hands it to the history, the files and the callbacks.
  void log(Log logs);

  const TrainerState& state() const;
  const GaudiTrainingArguments& args() const;
  // The newest whole-looking checkpoint-N of a folder, empty if there is none.
  static std::string last_checkpoint(const std::string& folder);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace torch_hpu
