// The state of a GaudiTrainer, shared by the files that implement it: trainer.cpp (the training loop), evaluation.cpp, checkpoint.cpp.
#pragma once

#include <torch_hpu/graphed.h>
#include <torch_hpu/lr_scheduler.h>
#include <torch_hpu/trainer.h>

#include <chrono>
#include <optional>

#include "csrc/train/distributed.h"
#include "csrc/train/optimizer.h"
#include "csrc/train/step_graph.h"

namespace torch_hpu {

struct GaudiTrainer::Impl {
  using Clock = std::chrono::steady_clock;

  TrainerModel model;
  GaudiConfig gaudi_config;
  GaudiTrainingArguments args;
  TrainerOptions options;
  c10::Device device;
  const bool distributed;  // there are several ranks
  bool autocasts;
  TrainerState state;
  TrainerControl control;
  std::unique_ptr<JsonLinesWriter> lines;
  std::unique_ptr<TensorBoardWriter> board;

  // While training.
  bool in_train = false;
  std::unique_ptr<train::TrainOptimizer> optimizer;
  std::unique_ptr<LRScheduler> scheduler;
  std::unique_ptr<DataLoader> loader;
  std::unique_ptr<train::StepGraph> batch_graph, update_graph;
  std::vector<std::string> graphed_names;  // the fields of a batch, in the order of the graph's inputs
  at::Tensor loss_sum;                     // of the steps since the last log, on the device
  at::Tensor gradient_norm;                // of the last step
  double lr = 0;                           // that the last step used
  double total_loss = 0;                   // of all steps but those in loss_sum
  int64_t logged_step = 0;
  std::unique_ptr<train::GradientReducer> reducer;  // of several ranks
  at::Tensor step_loss;                             // of this rank's items in the step, summed
  Clock::duration aside{};                          // spent in logging, evaluation and saving

  uint64_t evaluation_graphs = 0;  // compiled by evaluations

  // By HPU Graph.
  std::unique_ptr<GraphCache> inference;

  bool on_hpu() const {
    return args.use_habana;
  }
  // Gradients stay in the tensors that a graph was captured with, and are zero between steps; otherwise a step makes them.
  bool keeps_gradients() const {
    return args.use_hpu_graphs_for_training;
  }
  bool lazy() const {
    return args.use_habana && args.use_lazy_mode;
  }
  bool writes() const {  // files and lines: rank 0 alone
    return rank() == 0;
  }
  void wait() const;  // until the device has done all work
  Batch to_device(const Batch& batch) const;
  ModelOutput forward(const Batch& batch);
  template <typename F>
  void call(F&& f) {
    for (const auto& callback : options.callbacks) {
      f(*callback);
    }
  }

  // trainer.cpp
  TrainOutput train();
  std::shared_ptr<const Sampler> train_sampler() const;
  double items_in(const Batch& batch) const;
  std::vector<double> loss_shares(const std::vector<Batch>& batches) const;
  void batch_step(const Batch& batch, std::optional<double> share);
  void add_loss(const at::Tensor& loss, const std::vector<at::Tensor>& steps);
  std::vector<at::Tensor> steps_in_loss() const;
  void forget_unreached_parameters();
  void update_step();
  void log_train();
  void log(Log logs);
  void after_step(bool epoch_ended);
  bool due(const std::string& strategy, double every, bool epoch_ended) const;
  void train_epoch(int64_t epoch, int64_t first_batch);

  // evaluation.cpp
  struct Evaluation {
    Predictions values;
    Log metrics;
  };
  Evaluation evaluation_loop(const Dataset& dataset, const std::string& prefix, bool wants_predictions);
  std::vector<at::Tensor> inference_outputs(const Batch& batch, bool full);
  Log evaluate(const Dataset& dataset, const std::string& prefix);
  bool better(double metric) const;

  // checkpoint.cpp
  void save_model(const std::string& folder) const;
  void save_checkpoint();
  void write_checkpoint(const std::string& folder, const std::map<std::string, at::Tensor>& generators);
  void remove_old_checkpoints() const;
  void load_model(const std::string& folder);
  void load_checkpoint(const std::string& folder);  // throws when it is not whole
  std::string resume();                             // the checkpoint that was loaded, or empty
  std::string find_and_load();                      // the same for one rank

  Impl(TrainerModel model, GaudiConfig gaudi_config, GaudiTrainingArguments args, TrainerOptions options);
};

namespace train {

// The numbers of steps N of all folders `checkpoint-N`, ascending.
std::vector<int64_t> checkpoint_steps(const std::string& folder);

// `{prefix}_runtime`, `_samples_per_second`, `_steps_per_second`, as GaudiTrainer rounds them.
void add_speed_metrics(Log& metrics, const std::string& prefix, double seconds, double measured_seconds, double samples, double steps);

double round_to(double value, int digits);

// By this process so far.
uint64_t graphs_compiled();

// How many examples a batch has: the first size of its first field.
int64_t examples_in(const Batch& batch);

}  // namespace train
}  // namespace torch_hpu
