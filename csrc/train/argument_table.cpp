#include "csrc/train/argument_table.h"

#include <algorithm>

namespace torch_hpu::train {

const std::vector<ArgumentRow>& argument_rows() {
  using A = Arguments;
  static const std::vector<ArgumentRow> rows = {
      {"output_dir", &A::output_dir, "folder for checkpoints and logs"},
      {"overwrite_output_dir", &A::overwrite_output_dir, "start anew in a folder that holds checkpoints"},
      {"run_name", &A::run_name, "name of the run in logs"},
      {"resume_from_checkpoint", &A::resume_from_checkpoint, "checkpoint to go on from; true: the newest in output_dir"},
      {"num_train_epochs", &A::num_train_epochs, "passes over the training data"},
      {"max_steps", &A::max_steps, "optimizer steps; above 0 it overrides num_train_epochs"},
      {"per_device_train_batch_size", &A::per_device_train_batch_size, "examples in a training batch"},
      {"per_device_eval_batch_size", &A::per_device_eval_batch_size, "examples in an evaluation batch"},
      {"gradient_accumulation_steps", &A::gradient_accumulation_steps, "batches whose gradients make one optimizer step"},
      {"eval_accumulation_steps", &A::eval_accumulation_steps, "batches after which predictions move to the host"},
      {"learning_rate", &A::learning_rate, "peak learning rate"},
      {"weight_decay", &A::weight_decay, "decoupled weight decay, not on biases and norms"},
      {"adam_beta1", &A::adam_beta1, "beta1 of Adam"},
      {"adam_beta2", &A::adam_beta2, "beta2 of Adam"},
      {"adam_epsilon", &A::adam_epsilon, "epsilon of Adam"},
      {"max_grad_norm", &A::max_grad_norm, "largest norm of all gradients; 0: no clipping"},
      {"optim", &A::optim, "adamw_torch, adamw_torch_fused, sgd, adagrad or rmsprop"},
      {"lr_scheduler_type", &A::lr_scheduler_type, "learning-rate schedule"},
      {"lr_scheduler_kwargs", &A::lr_scheduler_kwargs, "numbers for the schedule, a JSON object"},
      {"warmup_ratio", &A::warmup_ratio, "share of the steps in which the learning rate rises"},
      {"warmup_steps", &A::warmup_steps, "steps in which the learning rate rises; overrides warmup_ratio"},
      {"label_smoothing_factor", &A::label_smoothing_factor, "share of each label that is spread over all classes"},
      {"gradient_checkpointing", &A::gradient_checkpointing, "compute activations again in the backward pass"},
      {"logging_strategy", &A::logging_strategy, "no, steps or epoch"},
      {"logging_first_step", &A::logging_first_step, "log the first step too"},
      {"logging_steps", &A::logging_steps, "steps between logs"},
      {"logging_nan_inf_filter", &A::logging_nan_inf_filter, "leave losses that are not finite out of the logs"},
      {"logging_dir", &A::logging_dir, "folder of TensorBoard's event files"},
      {"report_to", &A::report_to, "none or tensorboard"},
      {"disable_tqdm", &A::disable_tqdm, "no progress bars"},
      {"eval_strategy", &A::eval_strategy, "no, steps or epoch"},
      {"eval_steps", &A::eval_steps, "steps between evaluations; by default logging_steps"},
      {"eval_delay", &A::eval_delay, "epochs or steps before the first evaluation"},
      {"eval_on_start", &A::eval_on_start, "evaluate before the first step"},
      {"save_strategy", &A::save_strategy, "no, steps, epoch or best"},
      {"save_steps", &A::save_steps, "steps between checkpoints"},
      {"save_total_limit", &A::save_total_limit, "checkpoints that are kept"},
      {"load_best_model_at_end", &A::load_best_model_at_end, "end with the weights of the best evaluation"},
      {"metric_for_best_model", &A::metric_for_best_model, "metric that decides which model is best"},
      {"greater_is_better", &A::greater_is_better, "whether a greater metric is better"},
      {"ignore_data_skip", &A::ignore_data_skip, "a resumed run begins its epoch anew"},
      {"prediction_loss_only", &A::prediction_loss_only, "evaluate the loss only"},
      {"seed", &A::seed, "seed of weights, dropout and order"},
      {"data_seed", &A::data_seed, "seed of the order of the examples"},
      {"bf16", &A::bf16, "train under bfloat16 autocast"},
      {"bf16_full_eval", &A::bf16_full_eval, "evaluate with bfloat16 weights"},
      {"dataloader_drop_last", &A::dataloader_drop_last, "leave out a last batch that is not full"},
      {"dataloader_num_workers", &A::dataloader_num_workers, "threads that load data"},
      {"dataloader_pin_memory", &A::dataloader_pin_memory, "batches in pinned memory"},
      {"dataloader_prefetch_factor", &A::dataloader_prefetch_factor, "batches that each worker loads ahead"},
      {"group_by_length", &A::group_by_length, "batches of examples of similar length"},
      {"use_cpu", &A::use_cpu, "train on the CPU"},
      {"use_habana", &A::use_habana, "train on the hpu device"},
      {"gaudi_config_name", &A::gaudi_config_name, "folder or file of gaudi_config.json"},
      {"use_lazy_mode", &A::use_lazy_mode, "record ops and compile them"},
      {"use_hpu_graphs", &A::use_hpu_graphs, "deprecated: use_hpu_graphs_for_inference"},
      {"use_hpu_graphs_for_inference", &A::use_hpu_graphs_for_inference, "evaluate and predict by HPU Graphs"},
      {"use_hpu_graphs_for_training", &A::use_hpu_graphs_for_training, "train by HPU Graphs"},
      {"disable_tensor_cache_hpu_graphs", &A::disable_tensor_cache_hpu_graphs, "accepted: graphs keep no inputs"},
      {"max_hpu_graphs", &A::max_hpu_graphs, "graphs of inference that are kept"},
      {"distribution_strategy", &A::distribution_strategy, "ddp or fast_ddp"},
      {"ddp_bucket_cap_mb", &A::ddp_bucket_cap_mb, "megabytes of gradients that travel together between processes"},
      {"ddp_timeout", &A::ddp_timeout, "seconds that a process waits for the others"},
      {"throughput_warmup_steps", &A::throughput_warmup_steps, "first steps that speed metrics leave out"},
      {"adjust_throughput", &A::adjust_throughput, "leave logging, evaluation and saving out of the speed metrics"},
      {"pipelining_fwd_bwd", &A::pipelining_fwd_bwd, "a step boundary between forward and backward"},
      {"non_blocking_data_copy", &A::non_blocking_data_copy, "asynchronous copies of batches to the device"},
  };
  return rows;
}

const std::vector<RefusedArgument>& refused_arguments() {
  static const std::vector<RefusedArgument> rows = {
      {"fp16", "use bf16 on this device"},
      {"fp16_full_eval", "use bf16_full_eval on this device"},
      {"fp8", "the device has no 8-bit floats"},
      {"tf32", "it is a mode of other hardware"},
      {"tpu_num_cores", "it is a mode of other hardware"},
      {"tpu_metrics_debug", "it is a mode of other hardware"},
      {"mp_parameters", "it is a mode of other hardware"},
      {"torch_compile", "graphs are compiled by the device itself"},
      {"torch_compile_backend", "graphs are compiled by the device itself"},
      {"torch_compile_mode", "graphs are compiled by the device itself"},
      {"use_compiled_autograd", "graphs are compiled by the device itself"},
      {"use_regional_compilation", "graphs are compiled by the device itself"},
      {"deepspeed", "parameters are not sharded over processes"},
      {"fsdp", "parameters are not sharded over processes"},
      {"fsdp_config", "parameters are not sharded over processes"},
      {"minimize_memory", "it is an option of 8-bit floats"},
      {"context_parallel_size", "sequences are not split over processes"},
      {"push_to_hub", "nothing is uploaded"},
      {"predict_with_generate", "the trainer does not generate"},
      {"auto_find_batch_size", "the batch size is what it is told to be"},
      {"neftune_noise_alpha", "embeddings get no noise"},
      {"torch_empty_cache_steps", "the device's allocator needs no help"},
  };
  return rows;
}

std::string nearest_argument(const std::string& name) {
  std::string best;
  size_t best_distance = name.size() / 2 + 1;
  for (const ArgumentRow& row : argument_rows()) {
    const std::string candidate = row.name;
    // Levenshtein's distance, one row at a time.
    std::vector<size_t> previous(candidate.size() + 1), current(candidate.size() + 1);
    for (size_t j = 0; j <= candidate.size(); ++j) {
      previous[j] = j;
    }
    for (size_t i = 1; i <= name.size(); ++i) {
      current[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (name[i - 1] != candidate[j - 1])});
      }
      std::swap(previous, current);
    }
    if (previous.back() < best_distance) {
      best_distance = previous.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace torch_hpu::train
