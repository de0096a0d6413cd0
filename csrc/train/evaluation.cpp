// Evaluation and prediction.
#include <ATen/ops/cat.h>
#include <ATen/ops/scalar_tensor.h>
#include <torch_hpu/graphed.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/trainer.h>

#include <cmath>
#include <cstdio>

#include "csrc/train/trainer_impl.h"

namespace torch_hpu {
namespace {

// float32 on the host: what metrics compute with.
at::Tensor on_host(const at::Tensor& t) {
  const at::Tensor host = t.to(at::kCPU);
  return host.is_floating_point() && host.scalar_type() != at::kDouble ? host.to(at::kFloat) : host;
}

// One tensor of many along the batch dimension; other dims that differ (sequences of different lengths) are padded with -100.
at::Tensor joined(std::vector<at::Tensor> parts) {
  std::vector<int64_t> largest = parts.front().sizes().vec();
  for (const at::Tensor& t : parts) {
    TORCH_CHECK(t.dim() == parts.front().dim(), "[GaudiTrainer] predictions of different batches have ", t.dim(), " and ",
                parts.front().dim(), " dims");
    for (int64_t d = 1; d < t.dim(); ++d) {
      largest[d] = std::max(largest[d], t.size(d));
    }
  }
  for (at::Tensor& t : parts) {
    largest[0] = t.size(0);
    if (t.sizes() != c10::IntArrayRef(largest)) {
      at::Tensor padded = at::full(largest, -100, t.options());
      at::Tensor inside = padded;
      for (int64_t d = 1; d < t.dim(); ++d) {
        inside = inside.narrow(d, 0, t.size(d));
      }
      inside.copy_(t);
      t = padded;
    }
  }
  return at::cat(parts);
}

// A module does not train for a scope.
class EvalMode {
 public:
  explicit EvalMode(torch::nn::Module& module) : module_(module), was_training_(module.is_training()) {
    module_.eval();
  }
  ~EvalMode() {
    module_.train(was_training_);
  }
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  torch::nn::Module& module_;
  bool was_training_;
};

// bfloat16 weights for a scope.
class HalfWeights {
 public:
  HalfWeights(torch::nn::Module& module, bool on) {
    if (on) {
      const c10::AutoGradMode no_grad(false);
      for (at::Tensor& p : module.parameters()) {
        if (p.scalar_type() == at::kFloat) {
          kept_.emplace_back(p, p.detach().clone());
          p.set_data(p.detach().to(at::kBFloat16));
        }
      }
    }
  }
  ~HalfWeights() {
    for (auto& [parameter, values] : kept_) {
      parameter.set_data(values);
    }
  }
  HalfWeights(const HalfWeights&) = delete;
  HalfWeights& operator=(const HalfWeights&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> kept_;
};

}  // namespace

// Loss (or an undefined tensor), then the predictions. full: a batch of the usual size, whose graph is worth keeping.
std::vector<at::Tensor> GaudiTrainer::Impl::inference_outputs(const Batch& batch, bool full) {
  const auto run = [this](const Batch& fields) {
    ModelOutput output = forward(fields);
    std::vector<at::Tensor> all{output.loss};
    all.insert(all.end(), output.predictions.begin(), output.predictions.end());
    return all;
  };
  if (!(args.use_hpu_graphs_for_inference || args.use_hpu_graphs) || !full) {
    return run(batch);
  }
  if (inference == nullptr) {
    inference = std::make_unique<GraphCache>(static_cast<size_t>(args.max_hpu_graphs.value_or(10)));
  }
  std::vector<std::string> names;
  std::vector<at::Tensor> tensors;
  for (const auto& [name, tensor] : batch) {
    names.push_back(name);
    tensors.push_back(tensor);
  }
  return inference->run(tensors, {static_cast<int64_t>(std::hash<std::string>()(c10::Join(",", names)))},
                        [&](const std::vector<at::Tensor>& inputs) {
                          Batch fields;
                          for (size_t i = 0; i < names.size(); ++i) {
                            fields[names[i]] = inputs[i];
                          }
                          return run(fields);
                        });
}

GaudiTrainer::Impl::Evaluation GaudiTrainer::Impl::evaluation_loop(const Dataset& dataset, const std::string& prefix,
                                                                   bool wants_predictions) {
  const int64_t size = dataset.size(), batch_size = args.per_device_eval_batch_size;
  TORCH_CHECK(size > 0, "[GaudiTrainer] ", prefix, ": the dataset is empty");
  const c10::AutoGradMode no_grad(false);
  const EvalMode mode(*model.module);
  const HalfWeights half(*model.module, args.bf16_full_eval && !in_train);
  DataLoaderOptions data;
  data.batch_size = batch_size;
  data.num_workers = static_cast<int>(args.dataloader_num_workers);
  data.prefetch_factor = static_cast<int>(args.dataloader_prefetch_factor.value_or(2));
  data.collate = options.collate;
  data.pin_memory = args.dataloader_pin_memory && on_hpu();
  data.non_blocking = args.non_blocking_data_copy;
  const std::shared_ptr<const Dataset> borrowed(std::shared_ptr<void>(), &dataset);
  const bool shares = distributed && size >= world_size();  // otherwise every rank looks at everything
  std::shared_ptr<const Sampler> order = std::make_shared<SequentialSampler>(size);
  if (shares) {
    order = std::make_shared<train::RankShare>(size, rank(), world_size());
  }
  DataLoader batches(borrowed, order, data);
  int64_t warmup = in_train ? 0 : args.throughput_warmup_steps;
  if (warmup >= batches.size() && warmup > 0) {
    std::fprintf(stderr, "warning: %s: throughput_warmup_steps (%ld) is not below the number of steps (%ld); it is ignored\n",
                 prefix.c_str(), warmup, batches.size());
    warmup = 0;
  }
  ProgressBarOptions bar_options;
  bar_options.total = batches.size();
  bar_options.disable = args.disable_tqdm || !writes();
  bar_options.leave = false;
  bar_options.description = prefix;
  ProgressBar bar(bar_options);

  Evaluation result;
  std::vector<std::pair<at::Tensor, int64_t>> losses;  // with the batch's examples. The host sums them: one graph does for an evaluation
  std::vector<std::vector<at::Tensor>> predictions;    // by output, by batch
  std::map<std::string, std::vector<at::Tensor>> labels;
  wait();  // what trains has been compiled
  const uint64_t compiled_before = train::graphs_compiled();
  const auto begin = Clock::now();
  auto measured_from = begin;
  double warmup_seconds = 0;
  int64_t step = 0;
  while (std::optional<Batch> batch = batches.next()) {
    const int64_t examples = train::examples_in(*batch);
    for (const std::string& name : options.label_names) {
      if (wants_predictions && batch->count(name) == 1) {
        labels[name].push_back(batch->at(name));
      }
    }
    const std::vector<at::Tensor> outputs = inference_outputs(on_hpu() ? to_device(*batch) : *batch, examples == batch_size);
    if (outputs.front().defined()) {
      losses.emplace_back(outputs.front(), examples);
    }
    for (size_t i = 1; wants_predictions && i < outputs.size(); ++i) {
      predictions.resize(std::max(predictions.size(), i));
      predictions[i - 1].push_back(outputs[i]);
    }
    ++step;
    bar.update();
    if (lazy()) {
      mark_step();
    }
    if (args.eval_accumulation_steps && step % *args.eval_accumulation_steps == 0) {
      for (auto& parts : predictions) {
        for (at::Tensor& part : parts) {
          part = on_host(part);
        }
      }
    }
    if (warmup > 0 && step == warmup) {
      wait();
      measured_from = Clock::now();
      warmup_seconds = std::chrono::duration<double>(measured_from - begin).count();
    }
  }
  const auto gathered = [&](const at::Tensor& rows) { return shares ? train::gather_rows(rows, size) : rows; };
  std::optional<double> loss;
  if (!losses.empty()) {
    double sum = 0;
    for (const auto& [mean, examples] : losses) {
      sum += mean.item<double>() * static_cast<double>(examples);
    }
    if (shares) {
      const at::Tensor of_all = at::scalar_tensor(sum, at::kDouble);
      all_reduce(of_all);
      sum = of_all.item<double>();
    }
    loss = sum / static_cast<double>(size);
  }
  for (const auto& parts : predictions) {
    std::vector<at::Tensor> host;
    for (const at::Tensor& part : parts) {
      host.push_back(on_host(part));
    }
    result.values.predictions.push_back(gathered(joined(std::move(host))));
  }
  for (auto& [name, parts] : labels) {
    result.values.labels[name] = gathered(joined(parts));
  }
  wait();
  const auto end = Clock::now();
  evaluation_graphs += train::graphs_compiled() - compiled_before;
  bar.close();

  if (loss) {
    result.metrics.set(prefix + "_loss", *loss);
  }
  if (options.compute_metrics && wants_predictions && !labels.empty()) {
    for (const auto& [name, value] : options.compute_metrics(result.values)) {
      result.metrics.set(name.rfind(prefix + "_", 0) == 0 ? name : prefix + "_" + name, value);
    }
  }
  if (warmup > 0) {
    result.metrics.set(prefix + "_graph_compilation_duration", train::round_to(warmup_seconds, 4));
    result.metrics.set(prefix + "_graph_compliation_duration", train::round_to(warmup_seconds, 4));  // the original's spelling
  }
  const double seconds = std::chrono::duration<double>(end - begin).count();
  const double measured = std::chrono::duration<double>(end - measured_from).count();
  train::add_speed_metrics(result.metrics, prefix, seconds, measured,
                           static_cast<double>(size - warmup * batch_size * (shares ? world_size() : 1)),
                           static_cast<double>(step - warmup));
  return result;
}

Log GaudiTrainer::Impl::evaluate(const Dataset& dataset, const std::string& prefix) {
  const bool wants_predictions = options.compute_metrics != nullptr && !args.prediction_loss_only;
  Log metrics = evaluation_loop(dataset, prefix, wants_predictions).metrics;
  log(metrics);
  metrics.set("epoch", state.epoch);
  return metrics;
}

bool GaudiTrainer::Impl::better(double metric) const {
  return !state.best_metric || (args.best_is_greatest() ? metric > *state.best_metric : metric < *state.best_metric);
}

Log GaudiTrainer::evaluate(std::shared_ptr<const Dataset> dataset, const std::string& prefix) {
  if (dataset == nullptr) {
    dataset = impl_->options.eval_dataset;
  }
  TORCH_CHECK(dataset != nullptr, "[GaudiTrainer] evaluate: there is no evaluation data");
  const Log metrics = impl_->evaluate(*dataset, prefix);
  impl_->call([&](TrainerCallback& c) { c.on_evaluate(impl_->args, impl_->state, impl_->control, metrics); });
  return metrics;
}

PredictionOutput GaudiTrainer::predict(std::shared_ptr<const Dataset> dataset, const std::string& prefix) {
  TORCH_CHECK(dataset != nullptr, "[GaudiTrainer] predict: there is no data");
  auto evaluation = impl_->evaluation_loop(*dataset, prefix, /*wants_predictions=*/true);
  return {std::move(evaluation.values), std::move(evaluation.metrics)};
}

}  // namespace torch_hpu
