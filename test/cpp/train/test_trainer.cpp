// GaudiTrainer: what a run does, in which order, with which batches, and that every way to compute a step gives the same weights.
// test/python/test_trainer.py compares whole runs with transformers' Trainer.
#include <torch/optim/sgd.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/models/gpt.h>
#include <torch_hpu/state_dict.h>

#include <ATen/ops/equal.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/randint.h>

#include "test/cpp/train/trainer_models.h"

namespace {

using namespace torch_hpu;
using namespace torch_hpu::test;

struct Training : InFolder, testing::WithParamInterface<const char*> {
  GaudiTrainingArguments args() const {
    return arguments(path("out"), GetParam());
  }
};
INSTANTIATE_TEST_SUITE_P(, Training, testing::Values("cpu", "hpu", "graphs"), [](const auto& info) { return std::string(info.param); });

TrainerOptions data_of(int64_t train, int64_t evaluation = 0) {
  TrainerOptions options;
  options.train_dataset = class_data(train);
  if (evaluation > 0) {
    options.eval_dataset = class_data(evaluation);
  }
  return options;
}

std::map<std::string, at::Tensor> weights(const torch::nn::Module& module) {
  std::map<std::string, at::Tensor> copies;
  for (const auto& [name, tensor] : state_dict(module)) {
    copies[name] = tensor.detach().cpu().clone();
  }
  return copies;
}

void expect_close(const torch::nn::Module& a, const torch::nn::Module& b, double tolerance) {
  const auto expected = weights(b);
  for (const auto& [name, tensor] : weights(a)) {
    EXPECT_LE((tensor - expected.at(name)).abs().max().item<double>(), tolerance) << name;
  }
}

// A run's weights and trainer.
struct Trained {
  Classifier model = classifier();
  std::unique_ptr<GaudiTrainer> trainer;
  TrainOutput output;
  Trained(const GaudiTrainingArguments& args, TrainerOptions options, const GaudiConfig& config = {}) {
    trainer = std::make_unique<GaudiTrainer>(trainer_model(model), config, args, std::move(options));
    output = trainer->train();
  }
};

TEST_P(Training, TrainsEvaluatesAndPredicts) {
  auto a = args();
  a.num_train_epochs = 20;
  a.logging_steps = 10;
  Trained run(a, data_of(32, 10));
  EXPECT_EQ(run.output.global_step, 160);
  const auto losses = logged(run.trainer->state(), "loss");
  ASSERT_EQ(losses.size(), 16u);
  EXPECT_LT(losses.back(), 0.5 * losses.front());
  EXPECT_DOUBLE_EQ(run.trainer->state().epoch, 20);
  for (const char* key : {"train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "epoch", "total_flos"}) {
    EXPECT_TRUE(run.output.metrics.contains(key)) << key;
  }
  EXPECT_NEAR(run.output.training_loss, std::accumulate(losses.begin(), losses.end(), 0.0) / 16, 1e-4);

  const Log metrics = run.trainer->evaluate();
  const auto rows = class_rows(10);
  const at::Tensor scores = rows.at("x").matmul(run.model->linear->weight.detach().cpu().t()) + run.model->linear->bias.detach().cpu();
  EXPECT_NEAR(metrics.number("eval_loss"), at::cross_entropy_loss(scores, rows.at("labels")).item<double>(),
              1e-5);  // with a short last batch
  const PredictionOutput predicted = run.trainer->predict(class_data(10));
  ASSERT_EQ(predicted.values.predictions.size(), 1u);
  EXPECT_TRUE(predicted.values.predictions[0].device().is_cpu());
  EXPECT_TRUE(at::allclose(predicted.values.predictions[0], scores, 1e-5, 1e-5));
  EXPECT_TRUE(at::equal(predicted.values.labels.at("labels"), rows.at("labels")));
  EXPECT_NEAR(predicted.metrics.number("test_loss"), metrics.number("eval_loss"), 1e-6);
  const PredictionOutput unlabelled = run.trainer->predict(std::make_shared<TensorDataset>(std::map{*class_rows(3).find("x")}), "new");
  EXPECT_EQ(unlabelled.values.predictions[0].sizes(), (c10::IntArrayRef{3, kClasses}));
  EXPECT_TRUE(unlabelled.values.labels.empty());
  EXPECT_FALSE(unlabelled.metrics.contains("new_loss"));
  EXPECT_TRUE(unlabelled.metrics.contains("new_runtime"));
}

TEST_P(Training, EveryDeviceLearnsTheSame) {
  auto a = args();
  a.max_steps = 12;
  a.weight_decay = 0.1;
  auto cpu = arguments(path("cpu"));
  cpu.max_steps = 12;
  cpu.weight_decay = 0.1;
  expect_close(*Trained(a, data_of(32)).model, *Trained(cpu, data_of(32)).model, 1e-5);
}

TEST_P(Training, AccumulatedBatchesAreTheBigBatch) {
  for (const bool ignore : {false, true}) {
    auto big = args(), small = args();
    big.max_steps = small.max_steps = 7;  // over the end of an epoch
    big.max_grad_norm = small.max_grad_norm = 0.3;
    big.per_device_train_batch_size = 8;
    small.per_device_train_batch_size = 2;
    small.gradient_accumulation_steps = 4;
    TrainerOptions options;
    options.train_dataset = class_data(40, ignore);
    Trained whole(big, options), parts(small, options);
    EXPECT_EQ(parts.output.global_step, 7);
    expect_close(*parts.model, *whole.model, 1e-5);
    const auto a = logged(parts.trainer->state(), "loss"), b = logged(whole.trainer->state(), "loss");
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(a[i], b[i], 2e-4);
    }
  }
}

TEST_P(Training, AutocastRunsInHalfPrecision) {
  auto a = args();
  a.max_steps = 10;
  const Trained full(a, data_of(32));
  a.bf16 = true;
  const Trained half(a, data_of(32));
  expect_close(*half.model, *full.model, 0.05);
  EXPECT_NE(half.output.training_loss, full.output.training_loss);
  a.bf16 = false;
  GaudiConfig config;
  config.use_torch_autocast = true;
  const Trained by_config(a, data_of(32), config);
  EXPECT_NEAR(by_config.output.training_loss, half.output.training_loss, 1e-3);
  EXPECT_EQ(full.model->dtypes, std::set{at::kFloat});
  EXPECT_EQ(half.model->dtypes, std::set{at::kBFloat16});
  EXPECT_EQ(by_config.model->dtypes, std::set{at::kBFloat16});
}

TEST_P(Training, AnyOptimizerAndAnyLoss) {
  auto a = args();
  a.max_steps = 5;
  a.max_grad_norm = 0;
  a.dataloader_drop_last = true;
  auto options = data_of(20);
  options.make_optimizer = [](std::vector<torch::optim::OptimizerParamGroup> groups) {
    EXPECT_EQ(groups.size(), 2u);  // the bias does not decay
    return std::make_unique<torch::optim::SGD>(std::move(groups), torch::optim::SGDOptions(0.1).momentum(0.9));
  };
  options.compute_loss = [](const ModelOutput& output, const Batch& batch) {
    return at::mse_loss(output.predictions.front(), batch.at("x").narrow(1, 0, kClasses));
  };
  const Trained run(a, options);
  // The same by hand.
  Classifier model = classifier();
  torch::optim::SGD sgd(model->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  const at::Tensor x = class_rows(20).at("x");
  const auto order = RandomSampler(20, 42).indices(0);
  double loss_sum = 0;
  for (size_t step = 0; step < 5; ++step) {
    const at::Tensor rows = x.index_select(0, at::tensor(c10::IntArrayRef(order).slice(step * 4, 4), at::kLong));
    const at::Tensor loss = at::mse_loss(model->linear(rows), rows.narrow(1, 0, kClasses));
    sgd.zero_grad();
    loss.backward();
    sgd.step();
    loss_sum += loss.item<double>();
  }
  expect_close(*run.model, *model, 1e-6);
  EXPECT_NEAR(run.output.training_loss, loss_sum / 5, 1e-6);
}

TEST_P(Training, EveryNamedOptimizerLearns) {
  for (const char* name : {"adamw_torch_fused", "sgd", "adagrad", "rmsprop"}) {
    auto a = args();
    a.optim = name;
    a.num_train_epochs = 10;
    const Trained run(a, data_of(32));
    const auto losses = logged(run.trainer->state(), "loss");
    EXPECT_LT(losses.back(), 0.8 * losses.front()) << name;
  }
}

TEST_P(Training, CheckpointedActivationsChangeNothing) {
  GPTConfig config;
  config.vocab_size = 20;
  config.n_positions = 8;
  config.n_embd = 16;
  config.n_layer = 2;
  config.n_head = 2;
  config.resid_pdrop = config.attn_pdrop = config.embd_pdrop = 0;
  const at::Tensor ids =
      at::randint(20, {16, 8}, at::make_generator<at::CPUGeneratorImpl>(uint64_t{0}), at::TensorOptions().dtype(at::kLong));
  TrainerOptions options;
  options.shift_labels = true;
  options.train_dataset = std::make_shared<TensorDataset>(std::map<std::string, at::Tensor>{{"input_ids", ids}, {"labels", ids}});
  const auto trained = [&](bool checkpoints) {
    torch::manual_seed(1);
    GPT model(config);
    auto a = args();
    a.max_steps = 6;
    a.learning_rate = 1e-2;
    a.gradient_checkpointing = checkpoints;
    GaudiTrainer(trainer_model(model), {}, a, options).train();
    return model;
  };
  expect_close(*trained(true), *trained(false), 2e-5);
}

TEST_P(Training, LastBatches) {
  auto a = args();
  a.num_train_epochs = 2;
  const auto sizes = [&](const TrainerOptions& options) {
    auto cpu = a;  // a graph calls the model for its first batches only
    const Trained run(cpu, options);
    return run.model->sizes;
  };
  if (std::string(GetParam()) != "graphs") {
    EXPECT_EQ(sizes(data_of(10)), std::vector<int64_t>(6, 4));  // filled up: one shape
    a.dataloader_drop_last = true;
    EXPECT_EQ(sizes(data_of(10)), std::vector<int64_t>(4, 4));
    a.dataloader_drop_last = false;
    a.group_by_length = true;
    TrainerOptions options;
    auto rows = class_rows(10);
    rows["length"] = at::arange(10);
    options.train_dataset = std::make_shared<TensorDataset>(rows);
    EXPECT_EQ(sizes(options), (std::vector<int64_t>{4, 4, 2, 4, 4, 2}));
  } else {  // a last batch that is not full goes past the graph
    a.group_by_length = true;
    a.num_train_epochs = 4;
    auto cpu = a;
    cpu.use_cpu = true;
    cpu.use_habana = cpu.use_lazy_mode = cpu.use_hpu_graphs_for_training = cpu.use_hpu_graphs_for_inference = false;
    TrainerOptions options;
    auto rows = class_rows(10);
    rows["length"] = at::arange(10);
    options.train_dataset = std::make_shared<TensorDataset>(rows);
    expect_close(*Trained(a, options).model, *Trained(cpu, options).model, 1e-5);
  }
}

TEST_P(Training, LossesThatAreNotFinite) {
  auto a = args();
  a.max_steps = 4;
  a.logging_steps = 4;
  a.learning_rate = 0;
  auto options = data_of(16);
  auto rows = class_rows(16);
  rows.at("x")[RandomSampler(16, 42).indices(0)[9]].fill_(std::nan(""));  // in the third batch
  options.train_dataset = std::make_shared<TensorDataset>(rows);
  a.max_grad_norm = 0;
  a.optim = "sgd";
  options.make_optimizer = [](auto groups) { return std::make_unique<torch::optim::SGD>(std::move(groups), torch::optim::SGDOptions(0)); };
  options.compute_loss = [](const ModelOutput& output, const Batch& batch) {
    return batch.at("x").sum() + 0 * at::nan_to_num(output.predictions[0]).sum();
  };
  EXPECT_TRUE(std::isnan(logged(Trained(a, options).trainer->state(), "loss").at(0)));
  a.logging_nan_inf_filter = true;
  const auto order = RandomSampler(16, 42).indices(0);
  std::vector<double> sums;
  for (size_t b = 0; b < 4; ++b) {
    sums.push_back(rows.at("x").index_select(0, at::tensor(c10::IntArrayRef(order).slice(4 * b, 4), at::kLong)).sum().item<double>());
  }
  const double so_far = sums[0] + sums[1];
  EXPECT_NEAR(logged(Trained(a, options).trainer->state(), "loss").at(0), (so_far + so_far / 3 + sums[3]) / 4, 1e-4);
}

TEST_P(Training, GraphsAreReplayed) {
  auto a = args();
  a.max_steps = 20;
  const auto replays = [] { return metrics_snapshot().at("graph_replays"); };
  const auto before = replays();
  const Trained run(a, data_of(32, 40));
  const auto trained = replays();
  run.trainer->evaluate();
  run.trainer->evaluate();
  if (std::string(GetParam()) == "graphs") {
    EXPECT_GE(trained - before, 2u * 15);  // batches and updates
    EXPECT_GE(replays() - trained, 18u);   // of 20 batches
  } else {
    EXPECT_EQ(replays(), before);
  }
}

}  // namespace
