// GaudiTrainingArguments: what a training run is told, under the names and with the defaults of optimum-habana's class of that name.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace CLI {
class App;
}

namespace torch_hpu {

// Strategies are "no", "steps" or "epoch" (saving: also "best"). Steps are optimizer steps; a number between 0 and 1 is a share of all steps.
// A field is set by assignment, from JSON or from the command line; validate() says what does not go together.
struct TORCH_HPU_API GaudiTrainingArguments {
  std::string output_dir = "trainer_output";
  bool overwrite_output_dir = false;  // a run that starts anew removes the checkpoints that output_dir holds; otherwise that is an error
  std::optional<std::string> run_name;
  std::optional<std::string> resume_from_checkpoint;  // a folder, or "true": the newest whole checkpoint in output_dir

  double num_train_epochs = 3;
  int64_t max_steps = -1;  // above 0: overrides num_train_epochs
  int64_t per_device_train_batch_size = 8;
  int64_t per_device_eval_batch_size = 8;
  int64_t gradient_accumulation_steps = 1;
  std::optional<int64_t> eval_accumulation_steps;  // predictions move to the host after so many batches; otherwise at the end
  double learning_rate = 5e-5;
  double weight_decay = 0;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-6;
  double max_grad_norm = 1;           // 0: gradients are not clipped
  std::string optim = "adamw_torch";  // also adamw_torch_fused, sgd, adagrad, rmsprop
  std::string lr_scheduler_type = "linear";
  std::map<std::string, double> lr_scheduler_kwargs;
  double warmup_ratio = 0;   // of all steps, rounded up
  int64_t warmup_steps = 0;  // above 0: overrides warmup_ratio
  double label_smoothing_factor = 0;
  bool gradient_checkpointing = false;

  std::string logging_strategy = "steps";
  bool logging_first_step = false;
  double logging_steps = 500;
  bool logging_nan_inf_filter = false;     // a loss that is not finite counts as the average so far
  std::optional<std::string> logging_dir;  // TensorBoard; by default output_dir/runs
  std::string report_to = "none";          // or "tensorboard"
  bool disable_tqdm = false;
  std::string eval_strategy = "no";
  std::optional<double> eval_steps;  // by default logging_steps
  double eval_delay = 0;             // no evaluation before so many epochs or steps
  bool eval_on_start = false;
  std::string save_strategy = "steps";
  double save_steps = 500;
  std::optional<int64_t> save_total_limit;
  bool load_best_model_at_end = false;
  std::optional<std::string> metric_for_best_model;  // by default "loss" with load_best_model_at_end
  std::optional<bool> greater_is_better;             // by default whether the metric's name does not end in "loss"
  bool ignore_data_skip = false;
  bool prediction_loss_only = false;

  int64_t seed = 42;
  std::optional<int64_t> data_seed;  // of the order of the examples; by default seed
  bool bf16 = false;
  bool bf16_full_eval = false;
  bool dataloader_drop_last = false;
  int64_t dataloader_num_workers = 0;
  bool dataloader_pin_memory = true;
  std::optional<int64_t> dataloader_prefetch_factor;
  bool group_by_length = false;
  bool use_cpu = false;

  bool use_habana = false;
  std::optional<std::string> gaudi_config_name;  // a folder or file, see GaudiConfig
  bool use_lazy_mode = true;
  bool use_hpu_graphs = false;  // deprecated name of the next one
  bool use_hpu_graphs_for_inference = false;
  bool use_hpu_graphs_for_training = false;
  bool disable_tensor_cache_hpu_graphs = false;  // accepted: replays keep no inputs
  std::optional<int64_t> max_hpu_graphs;
  std::string distribution_strategy = "ddp";
  int64_t ddp_bucket_cap_mb = 230;
  int64_t ddp_timeout = 1800;  // seconds
  int64_t throughput_warmup_steps = 0;
  bool adjust_throughput = false;
  bool pipelining_fwd_bwd = false;
  bool non_blocking_data_copy = false;

  // Fields that are not named keep their values. Throws on unknown names (with the nearest known one), on wrong types, and on names that
  // the original has and this device does not (fp16, torch_compile ...), each with its reason. Does not validate.
  void update_from_json(const std::string& json);
  // {"output_dir": ..., ...}: every field, in this order.
  std::string to_json() const;
  // Adds an option --<name> per field. Truth values: --bf16, --bf16 False, --no_bf16.
  void add_options(CLI::App& app);

  // training_args.json. load() validates.
  void save(const std::string& path) const;
  static GaudiTrainingArguments load(const std::string& path);

  // Throws in words when a value is out of range, or when values exclude each other.
  void validate() const;

  // What follows from the fields.
  c10::Device device() const;
  bool uses_hpu_graphs() const;                          // for inference or training
  int64_t steps(double value, int64_t max_steps) const;  // of logging_steps and the like
  int64_t warmup_steps_of(int64_t max_steps) const;
  std::string best_metric() const;
  bool best_is_greatest() const;
};

}  // namespace torch_hpu
