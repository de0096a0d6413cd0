// The training loop, in the order of optimum-habana's: batches, step boundary, clipping, optimizer, schedule, step boundary, then logs, evaluation
// and checkpoints.
#include <torch_hpu/autocast.h>
#include <torch_hpu/trainer.h>

#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch_hpu/device.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/memory.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/random.h>
#include <torch_hpu/stream.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <optional>

#include "csrc/train/files.h"
#include "csrc/train/json_text.h"
#include "csrc/train/trainer_impl.h"

namespace torch_hpu {
namespace {

constexpr int64_t kWarmupSteps = 3;  // that the line about compilation sums up
constexpr int64_t kIgnored = -100;

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

// Cross entropy with labels of which a share `epsilon` is spread over all classes, the mean over the labels that are not ignored
// (https://arxiv.org/abs/1512.00567; transformers' LabelSmoother). scores [..., C], labels [...] int64.
at::Tensor smoothed_loss(at::Tensor scores, at::Tensor labels, double epsilon, bool shift) {
  TORCH_CHECK(scores.dim() == labels.dim() + 1, "[GaudiTrainer] label smoothing: got scores ", scores.sizes(), " and labels ",
              labels.sizes(), ", expected one more dim in the scores");
  if (shift) {
    scores = scores.narrow(-2, 0, scores.size(-2) - 1);
    labels = labels.narrow(-1, 1, labels.size(-1) - 1);
  }
  const at::Tensor losses = -at::log_softmax(scores, -1, at::kFloat);
  const at::Tensor counted = labels.ne(kIgnored), items = counted.sum().clamp_min(1);
  const at::Tensor right = losses.gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1), all = losses.sum(-1);
  const at::Tensor right_loss = right.masked_fill(~counted, 0).sum() / items;
  return (1 - epsilon) * right_loss + epsilon * all.masked_fill(~counted, 0).sum() / (items * losses.size(-1));
}

}  // namespace

uint64_t train::graphs_compiled() {
  const auto metrics = metrics_snapshot();
  return metrics.at("compilations") + metrics.at("disk_hits");
}

double train::round_to(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

int64_t train::examples_in(const Batch& batch) {
  const auto& [name, tensor] = *batch.begin();
  TORCH_CHECK(tensor.defined() && tensor.dim() > 0, "[GaudiTrainer] the batch's field '", name, "' has no batch dimension");
  return tensor.size(0);
}

void train::add_speed_metrics(Log& metrics, const std::string& prefix, double seconds, double measured, double samples, double steps) {
  metrics.set(prefix + "_runtime", round_to(seconds, 4));
  if (measured > 0) {
    metrics.set(prefix + "_samples_per_second", round_to(std::max(0.0, samples) / measured, 3));
    metrics.set(prefix + "_steps_per_second", round_to(std::max(0.0, steps) / measured, 3));
  }
}

GaudiTrainer::Impl::Impl(TrainerModel m, GaudiConfig config, GaudiTrainingArguments a, TrainerOptions o)
    : model(std::move(m)),
      gaudi_config(std::move(config)),
      args(std::move(a)),
      options(std::move(o)),
      device(args.device()),
      distributed(train::join_process_group(args.ddp_timeout)),
      autocasts(args.bf16 || gaudi_config.use_torch_autocast) {
  args.validate();
  TORCH_CHECK(model.module != nullptr && model.forward, "[GaudiTrainer] the model has no module, or no function that calls it");
  TORCH_CHECK(!args.gradient_checkpointing || model.set_gradient_checkpointing,
              "[GaudiTrainer] gradient_checkpointing was set, but the model has none");
  TORCH_CHECK(!gaudi_config.autocast_bf16_ops,
              "[GaudiTrainer] autocast_bf16_ops and autocast_fp32_ops are not supported: the device casts by"
              " lists of its own. Leave them out of gaudi_config.json.");
  torch::manual_seed(static_cast<uint64_t>(args.seed));
  torch_hpu::manual_seed(static_cast<uint64_t>(args.seed));
  model.module->to(device);
  if (model.tie_weights) {
    model.tie_weights();
  }
  if (model.set_gradient_checkpointing) {
    model.set_gradient_checkpointing(args.gradient_checkpointing);
  }
  if (distributed) {
    train::broadcast_module(model.module->parameters(), model.module->buffers());
  }
}

void GaudiTrainer::Impl::wait() const {
  if (on_hpu()) {
    synchronize();
  }
}

Batch GaudiTrainer::Impl::to_device(const Batch& batch) const {
  Batch moved;
  for (const auto& [name, tensor] : batch) {
    moved[name] = tensor.to(device, args.non_blocking_data_copy);
  }
  return moved;
}

ModelOutput GaudiTrainer::Impl::forward(const Batch& batch) {
  const Autocast autocast(device.type(), autocasts);
  ModelOutput output = model.forward(batch);
  if (options.compute_loss) {
    output.loss = options.compute_loss(output, batch);
  } else if (args.label_smoothing_factor > 0) {
    const auto labels = options.label_names.empty() ? batch.end() : batch.find(options.label_names.front());
    if (labels != batch.end()) {
      TORCH_CHECK(!output.predictions.empty(), "[GaudiTrainer] label_smoothing_factor was set, but the model returns no scores");
      output.loss = smoothed_loss(output.predictions.front(), labels->second, args.label_smoothing_factor, options.shift_labels);
    }
  }
  return output;
}

std::shared_ptr<const Sampler> GaudiTrainer::Impl::train_sampler() const {
  const Dataset& data = *options.train_dataset;
  const auto seed = static_cast<uint64_t>(args.data_seed.value_or(args.seed));
  const int64_t batch = args.per_device_train_batch_size * world_size();  // of all ranks: together they see the order of one process
  std::shared_ptr<const Sampler> order;
  if (args.group_by_length) {
    order = std::make_shared<LengthGroupedSampler>(dataset_lengths(data), batch * args.gradient_accumulation_steps, seed);
  } else if (args.dataloader_drop_last) {
    order = std::make_shared<RandomSampler>(data.size(), seed);
  } else {
    order = std::make_shared<PaddedRandomSampler>(data.size(), batch, seed);
  }
  return distributed ? std::make_shared<DistributedSampler>(order, rank(), world_size(), args.dataloader_drop_last) : order;
}

// Labels that count, or examples. The host knows both: a batch has just come from it.
double GaudiTrainer::Impl::items_in(const Batch& batch) const {
  const auto labels = batch.find(options.label_names.empty() ? "" : options.label_names.front());
  if (labels == batch.end() || labels->second.is_floating_point()) {
    return static_cast<double>(train::examples_in(batch));
  }
  const at::Tensor host = labels->second.to(at::kCPU);
  return static_cast<double>(
      (options.shift_labels && host.dim() > 1 ? host.narrow(1, 1, host.size(1) - 1) : host).ne(kIgnored).sum().item<int64_t>());
}

// The weight of each batch's loss in the loss of the step. Empty: a step is one batch. With several ranks: the number of items, for the reducer divides.
std::vector<double> GaudiTrainer::Impl::loss_shares(const std::vector<Batch>& batches) const {
  if (args.gradient_accumulation_steps == 1 && !distributed) {
    return {};
  }
  std::vector<double> items;
  for (const Batch& batch : batches) {
    items.push_back(items_in(batch));
  }
  if (!distributed) {
    const double total = std::max(1.0, std::accumulate(items.begin(), items.end(), 0.0));
    for (double& n : items) {
      n /= total;
    }
  }
  return items;
}

// Forward and backward. Gradients add up in the parameters, the loss in loss_sum, or in step_loss where ranks have to add up theirs.
void GaudiTrainer::Impl::batch_step(const Batch& batch, std::optional<double> share) {
  std::vector<std::string> names;
  std::vector<at::Tensor> inputs;  // the fields, then the share, then steps_in_loss()
  for (const auto& [name, tensor] : batch) {
    names.push_back(name);
    inputs.push_back(tensor);
  }
  if (share) {
    inputs.push_back(train::device_number(*share, device));
  }
  if (!distributed) {
    const std::vector<at::Tensor> steps = steps_in_loss();
    inputs.insert(inputs.end(), steps.begin(), steps.end());
  }
  const auto body = [this, names, shared = share.has_value()](const std::vector<at::Tensor>& given) {
    Batch fields;
    for (size_t i = 0; i < names.size(); ++i) {
      fields[names[i]] = given[i];
    }
    const ModelOutput output = forward(fields);
    TORCH_CHECK(output.loss.defined(), "[GaudiTrainer] the model returned no loss: does the batch have ",
                options.label_names.empty() ? "labels" : options.label_names.front(), "?");
    TORCH_CHECK(output.loss.numel() == 1, "[GaudiTrainer] the loss has shape ", output.loss.sizes(), ", expected one number");
    TORCH_CHECK(output.loss.requires_grad(), "[GaudiTrainer] the loss does not depend on any parameter that requires gradients");
    at::Tensor loss = output.loss;
    if (shared) {  // a batch without items has a loss that is no number, and no share
      const at::Tensor& weight = given[names.size()];
      loss = (loss * weight).masked_fill(weight.le(0), 0);
    }
    const at::Tensor value = loss.detach().to(at::kFloat).reshape({});
    if (distributed) {
      step_loss.add_(value);  // before the backward pass sends it off
    } else {
      add_loss(value, {given.begin() + static_cast<std::ptrdiff_t>(names.size()) + (shared ? 1 : 0), given.end()});
    }
    if (lazy() && args.pipelining_fwd_bwd && !is_current_stream_capturing()) {
      mark_step();
    }
    loss.backward();
    return std::vector<at::Tensor>{};
  };
  if (!args.use_hpu_graphs_for_training) {
    body(inputs);
    return;
  }
  if (batch_graph == nullptr) {
    graphed_names = names;
    batch_graph = std::make_unique<train::StepGraph>(body);
  }
  if (names == graphed_names) {
    (*batch_graph)(inputs);
  } else {
    body(inputs);
  }
}

// For add_loss(): how many steps the sum will be of, where that matters.
std::vector<at::Tensor> GaudiTrainer::Impl::steps_in_loss() const {
  if (!args.logging_nan_inf_filter) {
    return {};
  }
  return {train::device_number(static_cast<double>(1 + state.global_step - logged_step), device)};
}

void GaudiTrainer::Impl::add_loss(const at::Tensor& loss, const std::vector<at::Tensor>& steps) {
  loss_sum.add_(steps.empty() ? loss : at::where(at::isfinite(loss), loss, loss_sum / steps.front()));
}

// After the first backward passes of a run whose gradients are kept: a parameter that the model does not use gets no step, and no decay.
void GaudiTrainer::Impl::forget_unreached_parameters() {
  for (const at::Tensor& p : optimizer->parameters()) {
    if (!train::has_gradient(p, /*kept=*/true)) {
      p.mutable_grad().reset();
    }
  }
}

// Clipping, optimizer, schedule; gradients are gone, or zero.
void GaudiTrainer::Impl::update_step() {
  lr = scheduler->lrs().front();
  optimizer->set_lrs(scheduler->lrs());
  std::vector<at::Tensor> inputs = optimizer->rates();  // then the sums of all ranks, then steps_in_loss()
  const size_t rates = inputs.size();
  size_t sums = 0;
  if (distributed) {
    for (const auto& list : {reducer->finish(), steps_in_loss()}) {
      inputs.insert(inputs.end(), list.begin(), list.end());
    }
    sums = inputs.size() - rates - (args.logging_nan_inf_filter ? 1 : 0);
  }
  const std::vector<at::Tensor> parameters = optimizer->parameters();
  const auto body = [this, parameters, rates, sums](const std::vector<at::Tensor>& given) {
    const c10::AutoGradMode no_grad(false);
    const auto after_rates = given.begin() + static_cast<std::ptrdiff_t>(rates),
               after_sums = after_rates + static_cast<std::ptrdiff_t>(sums);
    if (distributed) {
      add_loss(reducer->take({after_rates, after_sums}), {after_sums, given.end()});
      step_loss.zero_();
    }
    at::Tensor norm;
    if (args.max_grad_norm > 0) {
      norm = train::clip_grad_norm(parameters, args.max_grad_norm);
    }
    {
      const c10::AutoGradMode grad(true);
      optimizer->step({given.begin(), after_rates});
    }
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& p : parameters) {
      if (!keeps_gradients()) {
        p.mutable_grad().reset();
      } else if (p.grad().defined()) {
        gradients.push_back(p.grad());
      }
    }
    if (!gradients.empty()) {
      at::_foreach_zero_(gradients);
    }
    return std::vector<at::Tensor>{norm};
  };
  if (args.use_hpu_graphs_for_training && optimizer->capturable()) {
    if (update_graph == nullptr) {
      update_graph = std::make_unique<train::StepGraph>(body);
    }
    gradient_norm = (*update_graph)(inputs).front();
  } else {
    gradient_norm = body(inputs).front();
  }
  scheduler->step();
}

void GaudiTrainer::Impl::log(Log logs) {
  if (in_train || state.epoch > 0) {
    logs.set("epoch", state.epoch);
  }
  if (on_hpu()) {
    const auto stats = memory_stats();
    const auto [free, total] = mem_get_info();
    const auto gib = [](int64_t bytes) { return train::round_to(static_cast<double>(bytes) / (1 << 30), 2); };
    logs.set("memory_allocated (GB)", gib(stats.at("allocated_bytes.all.current")));
    logs.set("max_memory_allocated (GB)", gib(stats.at("allocated_bytes.all.peak")));
    logs.set("total_memory_available (GB)", gib(total));
  }
  if (writes()) {
    ProgressBar::write(format_log(logs));
  }
  Log entry = logs;
  entry.set("step", state.global_step);
  state.log_history.push_back(entry);
  if (lines != nullptr) {
    lines->write(entry);
  }
  if (board != nullptr) {
    board->add_log(logs, state.global_step);
  }
  call([&](TrainerCallback& c) { c.on_log(args, state, control, logs); });
}

void GaudiTrainer::Impl::log_train() {
  const int64_t steps = state.global_step - logged_step;
  if (steps == 0) {
    return;
  }
  const double sum = loss_sum.item<double>();
  loss_sum.copy_(at::zeros({}, at::kFloat));  // from the host, as in train(): nothing to compile, and steps after a log are as all others
  total_loss += sum;
  Log logs;
  logs.set("loss", train::round_to(sum / static_cast<double>(steps), 4));
  if (gradient_norm.defined()) {
    logs.set("grad_norm", gradient_norm.item<double>());
  }
  logs.set("learning_rate", lr);
  logged_step = state.global_step;
  log(std::move(logs));
}

bool GaudiTrainer::Impl::due(const std::string& strategy, double every, bool epoch_ended) const {
  if (strategy == "epoch") {
    return epoch_ended;
  }
  return strategy == "steps" && !epoch_ended && state.global_step % args.steps(every, state.max_steps) == 0;
}

// After a step, and again after the last one of an epoch.
void GaudiTrainer::Impl::after_step(bool epoch_ended) {
  const auto begin = Clock::now();
  const bool last = state.global_step >= state.max_steps;
  if (due(args.logging_strategy, args.logging_steps, epoch_ended) || control.should_log ||
      (!epoch_ended && args.logging_first_step && state.global_step == 1)) {
    log_train();
  }
  const bool delayed =
      args.eval_strategy == "epoch" ? args.eval_delay > state.epoch + 1e-9 : args.eval_delay > static_cast<double>(state.global_step);
  const bool evaluates =
      (due(args.eval_strategy, args.eval_steps.value_or(args.logging_steps), epoch_ended) && !delayed) || control.should_evaluate;
  bool best = false;
  if (evaluates) {
    TORCH_CHECK(options.eval_dataset != nullptr, "[GaudiTrainer] a callback asks for an evaluation, but there is no evaluation data");
    const Log metrics = evaluate(*options.eval_dataset, "eval");
    TORCH_CHECK(metrics.contains(args.best_metric()) ||
                    (!args.load_best_model_at_end && args.save_strategy != "best" && !scheduler->wants_metric()),
                "[GaudiTrainer] metric_for_best_model: the evaluation has no '", args.best_metric(), "'; got ", format_log(metrics));
    if (scheduler->wants_metric()) {
      scheduler->step(metrics.number(args.best_metric()));
    }
    // Callbacks compare with the best metric before this one.
    call([&](TrainerCallback& c) { c.on_evaluate(args, state, control, metrics); });
    if (metrics.contains(args.best_metric())) {
      best = better(metrics.number(args.best_metric()));
    }
    if (best) {
      state.best_metric = metrics.number(args.best_metric());
      state.best_global_step = state.global_step;
    }
  }
  const bool saves = due(args.save_strategy, args.save_steps, epoch_ended) || (args.save_strategy == "best" && best) ||
                     control.should_save || (args.save_strategy == "steps" && !epoch_ended && last);
  control.should_log = control.should_evaluate = control.should_save = false;
  if (saves) {
    save_checkpoint();
  }
  aside += Clock::now() - begin;
}

void GaudiTrainer::Impl::train_epoch(int64_t epoch, int64_t first_batch) {
  const int64_t accumulation = args.gradient_accumulation_steps, batches_in_epoch = loader->size();
  loader->start_epoch(epoch, first_batch);
  int64_t batch_number = first_batch;
  std::vector<Batch> batches;
  while (!control.should_epoch_stop && !control.should_training_stop && state.global_step < state.max_steps) {
    batches.clear();
    while (static_cast<int64_t>(batches.size()) < accumulation) {
      std::optional<Batch> batch = loader->next();
      if (!batch) {
        break;
      }
      batches.push_back(std::move(*batch));
    }
    if (batches.empty()) {
      break;
    }
    call([&](TrainerCallback& c) { c.on_step_begin(args, state, control); });
    const std::vector<double> shares = loss_shares(batches);
    for (size_t i = 0; i < batches.size(); ++i) {
      model.module->train();
      if (distributed && i + 1 == batches.size()) {
        reducer->start(/*overlap=*/!args.use_hpu_graphs_for_training,
                       train::device_number(std::accumulate(shares.begin(), shares.end(), 0.0), device), step_loss);
      }
      batch_step(batches[i], shares.empty() ? std::nullopt : std::optional(shares[i]));
      if (lazy()) {
        mark_step();
      }
    }
    if (keeps_gradients() && !distributed && update_graph == nullptr) {
      forget_unreached_parameters();
    }
    update_step();
    if (lazy()) {
      mark_step();
    }
    batch_number += static_cast<int64_t>(batches.size());
    ++state.global_step;
    state.epoch = static_cast<double>(epoch) + static_cast<double>(batch_number) / static_cast<double>(batches_in_epoch);
    call([&](TrainerCallback& c) { c.on_step_end(args, state, control); });
    after_step(/*epoch_ended=*/false);
  }
}

TrainOutput GaudiTrainer::Impl::train() {
  TORCH_CHECK(options.train_dataset != nullptr && options.train_dataset->size() > 0, "[GaudiTrainer] train: there is no training data");
  TORCH_CHECK((args.eval_strategy == "no" && !args.eval_on_start) || options.eval_dataset != nullptr, "[GaudiTrainer] eval_strategy is '",
              args.eval_strategy, "', but there is no evaluation data");
  struct Scope {
    Impl& impl;
    explicit Scope(Impl& i) : impl(i) {
      impl.in_train = true;
    }
    ~Scope() {  // what belongs to one run goes with it, however it ends
      impl.in_train = false;
      impl.batch_graph.reset();
      impl.update_graph.reset();
      impl.reducer.reset();
      impl.loader.reset();
    }
  } scope(*this);

  const auto begin = Clock::now();
  DataLoaderOptions data;
  data.batch_size = args.per_device_train_batch_size;
  data.drop_last = args.dataloader_drop_last;
  data.num_workers = static_cast<int>(args.dataloader_num_workers);
  data.prefetch_factor = static_cast<int>(args.dataloader_prefetch_factor.value_or(2));
  data.collate = options.collate;
  data.pin_memory = args.dataloader_pin_memory && on_hpu();
  data.non_blocking = args.non_blocking_data_copy;
  if (on_hpu()) {
    data.device = device;
  }
  loader = std::make_unique<DataLoader>(options.train_dataset, train_sampler(), data);
  TORCH_CHECK(loader->size() > 0, "[GaudiTrainer] the training data has ", options.train_dataset->size(),
              " examples, fewer than a batch of ", args.per_device_train_batch_size, ", and dataloader_drop_last leaves that out");
  const int64_t accumulation = args.gradient_accumulation_steps;
  const int64_t steps_in_epoch = std::max<int64_t>(1, (loader->size() + accumulation - 1) / accumulation);
  const int64_t max_steps =
      args.max_steps > 0 ? args.max_steps : static_cast<int64_t>(std::ceil(args.num_train_epochs * static_cast<double>(steps_in_epoch)));

  const train::Groups groups = train::parameter_groups(*model.module, args.weight_decay);
  optimizer = train::make_optimizer(args, groups, options.make_optimizer);
  LRSchedulerOptions schedule{args.lr_scheduler_type, args.warmup_steps_of(max_steps), max_steps, args.lr_scheduler_kwargs};
  scheduler = std::make_unique<LRScheduler>(schedule, std::vector<double>(optimizer->groups().size(), args.learning_rate));
  for (const at::Tensor& p : optimizer->parameters()) {
    p.mutable_grad() = keeps_gradients() ? train::empty_gradient(p) : at::Tensor();
  }
  if (distributed) {
    reducer = std::make_unique<train::GradientReducer>(model.module->parameters(), args.ddp_bucket_cap_mb << 20, keeps_gradients());
    step_loss = train::device_number(0, device);
  }
  state = TrainerState();
  state.max_steps = max_steps;
  state.num_train_epochs = (max_steps + steps_in_epoch - 1) / steps_in_epoch;
  state.train_batch_size = args.per_device_train_batch_size;
  state.logging_steps = args.steps(args.logging_steps, max_steps);
  state.eval_steps = args.steps(args.eval_steps.value_or(args.logging_steps), max_steps);
  state.save_steps = args.steps(args.save_steps, max_steps);
  control = TrainerControl();
  loss_sum = train::device_number(0, device);
  gradient_norm = at::Tensor();
  total_loss = 0;
  aside = {};
  logged_step = 0;
  const std::string checkpoint = resume();
  const int64_t first_step = state.global_step;
  train::make_folder(args.output_dir, "GaudiTrainer");
  if (writes()) {
    lines = std::make_unique<JsonLinesWriter>((std::filesystem::path(args.output_dir) / "log.jsonl").string(), !checkpoint.empty());
  }
  if (args.report_to == "tensorboard" && writes()) {
    board = std::make_unique<TensorBoardWriter>(args.logging_dir.value_or((std::filesystem::path(args.output_dir) / "runs").string()));
    board->add_text("args", "```\n" + args.to_json() + "\n```");
  }

  const int64_t examples = options.train_dataset->size(), total_batch = args.per_device_train_batch_size * accumulation * world_size();
  int64_t trainable = 0;
  for (const at::Tensor& p : optimizer->parameters()) {
    trainable += p.numel();
  }
  if (writes()) {
    std::fprintf(stderr,
                 "***** Running training *****\n  Num examples = %ld\n  Num Epochs = %ld\n  Instantaneous batch size per device = %ld\n"
                 "  Total train batch size (w. parallel, distributed & accumulation) = %ld\n  Gradient Accumulation steps = %ld\n"
                 "  Total optimization steps = %ld\n  Number of trainable parameters = %ld\n",
                 examples, state.num_train_epochs, args.per_device_train_batch_size, total_batch, accumulation, max_steps, trainable);
    if (!checkpoint.empty()) {
      std::fprintf(stderr, "  Continuing from %s at step %ld\n", checkpoint.c_str(), first_step);
    }
  }

  ProgressBarOptions bar_options;
  bar_options.total = max_steps;
  bar_options.initial = first_step;
  bar_options.disable = args.disable_tqdm || !writes();
  ProgressBar bar(bar_options);
  const uint64_t compiled_before = train::graphs_compiled();
  evaluation_graphs = 0;
  const auto compiled = [&] { return static_cast<int64_t>(train::graphs_compiled() - compiled_before - evaluation_graphs); };
  std::optional<Clock::time_point> after_warmup;
  double warmup_seconds = 0;
  struct Progress final : TrainerCallback {
    std::function<void(int64_t)> step;
    void on_step_end(const GaudiTrainingArguments&, TrainerState& s, TrainerControl&) override {
      step(s.global_step);
    }
  } progress;
  const auto loop_begin = Clock::now();
  progress.step = [&](int64_t step) {
    bar.update();
    const int64_t done = step - first_step;
    if (done == kWarmupSteps) {
      wait();
      warmup_seconds = seconds(Clock::now() - loop_begin);
      if (writes()) {
        ProgressBar::write(c10::str("First ", kWarmupSteps, " steps (compilation and warm-up): ", train::round_to(warmup_seconds, 2),
                                    " s, ", compiled(), " graphs compiled"));
      }
    }
    if (args.throughput_warmup_steps > 0 && done == args.throughput_warmup_steps) {
      wait();
      after_warmup = Clock::now();
      aside = {};
    }
  };
  // The trainer's own callback goes first and leaves when the run ends.
  options.callbacks.insert(options.callbacks.begin(), std::shared_ptr<TrainerCallback>(std::shared_ptr<void>(), &progress));
  struct Callbacks {
    std::vector<std::shared_ptr<TrainerCallback>>& list;
    ~Callbacks() {
      list.erase(list.begin());
    }
  } own_callback{options.callbacks};

  call([&](TrainerCallback& c) { c.on_train_begin(args, state, control); });
  if (args.eval_on_start && checkpoint.empty()) {
    const Log metrics = evaluate(*options.eval_dataset, "eval");
    call([&](TrainerCallback& c) { c.on_evaluate(args, state, control, metrics); });
  }
  int64_t epoch = first_step / steps_in_epoch;
  int64_t first_batch = args.ignore_data_skip ? 0 : first_step % steps_in_epoch * accumulation;
  while (state.global_step < max_steps && !control.should_training_stop) {
    control.should_epoch_stop = false;
    call([&](TrainerCallback& c) { c.on_epoch_begin(args, state, control); });
    const int64_t before = state.global_step;
    train_epoch(epoch, first_batch);
    TORCH_CHECK(state.global_step > before || control.should_training_stop || control.should_epoch_stop || first_batch > 0,
                "[GaudiTrainer] an epoch had no batch");
    first_batch = 0;
    ++epoch;
    call([&](TrainerCallback& c) { c.on_epoch_end(args, state, control); });
    after_step(/*epoch_ended=*/true);
  }
  bar.close();

  const double last = loss_sum.item<double>();  // waits for the device, so the clock tells the truth
  const auto end = Clock::now();
  total_loss += last;
  const int64_t steps = state.global_step - first_step;
  TrainOutput output;
  output.global_step = state.global_step;
  output.training_loss = steps == 0 ? 0 : total_loss / static_cast<double>(steps);
  double measured = seconds(end - after_warmup.value_or(begin)) - (args.adjust_throughput ? seconds(aside) : 0);
  const int64_t left_out = after_warmup ? args.throughput_warmup_steps : 0;
  train::add_speed_metrics(output.metrics, "train", seconds(end - begin), measured, static_cast<double>((steps - left_out) * total_batch),
                           static_cast<double>(steps - left_out));
  output.metrics.set("train_warmup_runtime", train::round_to(warmup_seconds, 4));
  output.metrics.set("train_graphs_compiled", compiled());
  if (evaluation_graphs > 0) {
    output.metrics.set("eval_graphs_compiled", static_cast<int64_t>(evaluation_graphs));
  }
  output.metrics.set("total_flos", 0.0);
  output.metrics.set("train_loss", output.training_loss);
  if (args.load_best_model_at_end && state.best_model_checkpoint) {
    load_model(*state.best_model_checkpoint);
    if (writes()) {
      std::fprintf(stderr, "Loaded the best model from %s (%s: %g)\n", state.best_model_checkpoint->c_str(), args.best_metric().c_str(),
                   *state.best_metric);
    }
  }
  log(output.metrics);
  output.metrics.set("epoch", state.epoch);
  call([&](TrainerCallback& c) { c.on_train_end(args, state, control); });
  if (writes()) {
    state.save_to_json((std::filesystem::path(args.output_dir) / "trainer_state.json").string());
  }
  return output;
}

GaudiTrainer::GaudiTrainer(TrainerModel model, GaudiConfig gaudi_config, GaudiTrainingArguments args, TrainerOptions options)
    : impl_(std::make_unique<Impl>(std::move(model), std::move(gaudi_config), std::move(args), std::move(options))) {}
GaudiTrainer::~GaudiTrainer() = default;

TrainOutput GaudiTrainer::train() {
  return impl_->train();
}
void GaudiTrainer::log(Log logs) {
  impl_->log(std::move(logs));
}
const TrainerState& GaudiTrainer::state() const {
  return impl_->state;
}
const GaudiTrainingArguments& GaudiTrainer::args() const {
  return impl_->args;
}

}  // namespace torch_hpu
