// GaudiTrainer on the CPU: events, logs, evaluations, checkpoints, and which of them when.
#include <torch_hpu/safetensors.h>
#include <torch_hpu/state_dict.h>

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <nlohmann/json.hpp>
#include <set>

#include "test/cpp/train/trainer_models.h"

namespace {

using namespace torch_hpu;
using namespace torch_hpu::test;
namespace fs = std::filesystem;

struct TrainerEvents : InFolder {
  GaudiTrainingArguments args() const {
    return arguments(path("out"));
  }
  // The numbers of the checkpoints that are there.
  std::set<int64_t> checkpoints() const {
    std::set<int64_t> steps;
    for (const auto& entry : fs::directory_iterator(path("out"))) {
      if (const std::string name = entry.path().filename(); name.rfind("checkpoint-", 0) == 0) {
        steps.insert(std::stoll(name.substr(11)));
      }
    }
    return steps;
  }
};

TrainerOptions both(int64_t train, int64_t evaluation) {
  TrainerOptions options;
  options.train_dataset = class_data(train);
  options.eval_dataset = class_data(evaluation);
  return options;
}

// Writes down what happens; may ask for something in the step it was told.
struct Witness : TrainerCallback {
  using A = GaudiTrainingArguments;
  std::vector<std::string> events;
  std::function<void(int64_t, TrainerControl&)> ask;
  void note(const char* event, const TrainerState& state) {
    events.push_back(std::string(event) + " " + std::to_string(state.global_step));
  }
  void on_train_begin(const A&, TrainerState& s, TrainerControl&) override {
    note("train_begin", s);
  }
  void on_epoch_begin(const A&, TrainerState& s, TrainerControl&) override {
    note("epoch_begin", s);
  }
  void on_step_begin(const A&, TrainerState& s, TrainerControl&) override {
    note("step_begin", s);
  }
  void on_step_end(const A&, TrainerState& s, TrainerControl& control) override {
    note("step_end", s);
    if (ask) {
      ask(s.global_step, control);
    }
  }
  void on_log(const A&, TrainerState& s, TrainerControl&, const Log& log) override {
    note(log.contains("loss") ? "log" : log.contains("eval_loss") ? "log_eval" : "log_train", s);
  }
  void on_evaluate(const A&, TrainerState& s, TrainerControl&, const Log&) override {
    note("evaluate", s);
  }
  void on_save(const A&, TrainerState& s, TrainerControl&, const std::string& folder) override {
    note("save", s);
    EXPECT_TRUE(fs::exists(folder + "/model.safetensors"));
  }
  void on_epoch_end(const A&, TrainerState& s, TrainerControl&) override {
    note("epoch_end", s);
  }
  void on_train_end(const A&, TrainerState& s, TrainerControl&) override {
    note("train_end", s);
  }
};

TEST_F(TrainerEvents, ComeInTransformersOrder) {
  auto a = args();
  a.num_train_epochs = 2;
  a.logging_steps = 2;
  a.eval_strategy = a.save_strategy = "steps";
  a.eval_steps = a.save_steps = 2;
  auto options = both(8, 4);
  const auto witness = std::make_shared<Witness>();
  options.callbacks.push_back(witness);
  Classifier model = classifier();
  GaudiTrainer(trainer_model(model), {}, a, options).train();
  std::vector<std::string> expected{"train_begin 0"};
  for (const int first : {0, 2}) {
    const auto at = [&](const char* event, int step) { expected.push_back(std::string(event) + " " + std::to_string(first + step)); };
    at("epoch_begin", 0);
    at("step_begin", 0);
    at("step_end", 1);
    at("step_begin", 1);
    at("step_end", 2);
    at("log", 2);
    at("log_eval", 2);
    at("evaluate", 2);
    at("save", 2);
    at("epoch_end", 2);
  }
  expected.insert(expected.end(), {"log_train 4", "train_end 4"});
  EXPECT_EQ(witness->events, expected);
}

TEST_F(TrainerEvents, AreWhatACallbackAsksFor) {
  auto a = args();
  a.max_steps = 10;
  a.logging_strategy = "no";
  auto options = both(40, 4);
  const auto witness = std::make_shared<Witness>();
  witness->ask = [](int64_t step, TrainerControl& control) {
    control.should_log = step == 2;
    control.should_evaluate = step == 3;
    control.should_save = step == 4;
    control.should_training_stop = step == 5;
  };
  options.callbacks.push_back(witness);
  Classifier model = classifier();
  GaudiTrainer trainer(trainer_model(model), {}, a, options);
  EXPECT_EQ(trainer.train().global_step, 5);
  const auto has = [&](const char* event) { return std::count(witness->events.begin(), witness->events.end(), event); };
  EXPECT_EQ(has("log 2"), 1);
  EXPECT_EQ(has("evaluate 3"), 1);
  EXPECT_EQ(has("save 4"), 1);
  EXPECT_EQ(has("step_end 6"), 0);
  EXPECT_EQ(logged(trainer.state(), "loss").size(), 1u);
  EXPECT_EQ(checkpoints(), std::set<int64_t>{4});
  witness->ask = [](int64_t step, TrainerControl& control) { control.should_epoch_stop = step == 3; };
  a.max_steps = -1;
  a.num_train_epochs = 1;
  GaudiTrainer stopped(trainer_model(model), {}, a, options);
  EXPECT_EQ(stopped.train().global_step, 10);  // the next epoch fills the steps
}

TEST_F(TrainerEvents, MayThrowAndTrainAgain) {
  auto a = args();
  a.max_steps = 3;
  auto options = both(40, 4);
  const auto witness = std::make_shared<Witness>();
  witness->ask = [](int64_t step, TrainerControl&) { TORCH_CHECK(step != 2, "enough"); };
  options.callbacks.push_back(witness);
  Classifier model = classifier();
  GaudiTrainer trainer(trainer_model(model), {}, a, options);
  EXPECT_TRUE(throws([&] { trainer.train(); }, "enough"));
  witness->ask = nullptr;
  EXPECT_EQ(trainer.train().global_step, 3);
  EXPECT_EQ(trainer.train().global_step, 3);
}

TEST_F(TrainerEvents, EarlyStopping) {
  auto a = args();
  a.learning_rate = 0;  // no evaluation is better than the first
  a.num_train_epochs = 5;
  a.eval_strategy = a.save_strategy = "steps";
  a.eval_steps = a.save_steps = 1;
  a.load_best_model_at_end = true;
  auto options = both(16, 4);
  options.callbacks.push_back(std::make_shared<EarlyStoppingCallback>(3));
  Classifier model = classifier();
  EXPECT_EQ(GaudiTrainer(trainer_model(model), {}, a, options).train().global_step, 4);
  options.callbacks = {std::make_shared<EarlyStoppingCallback>(2, 100.0)};  // it would have to be better by 100
  a.learning_rate = 0.1;
  EXPECT_EQ(GaudiTrainer(trainer_model(model), {}, a, options).train().global_step, 3);
  // The count goes on from a checkpoint.
  a.learning_rate = 0;
  a.max_steps = 2;
  options.callbacks = {std::make_shared<EarlyStoppingCallback>(3)};
  GaudiTrainer(trainer_model(model), {}, a, options).train();
  a.max_steps = 20;
  a.resume_from_checkpoint = "true";
  options.callbacks = {std::make_shared<EarlyStoppingCallback>(3)};
  EXPECT_EQ(GaudiTrainer(trainer_model(model), {}, a, options).train().global_step, 4);
  a.resume_from_checkpoint.reset();
  a.load_best_model_at_end = false;
  EXPECT_TRUE(throws([&] { GaudiTrainer(trainer_model(model), {}, a, options).train(); }, "needs load_best_model_at_end"));
  a.eval_strategy = "no";
  EXPECT_TRUE(throws([&] { GaudiTrainer(trainer_model(model), {}, a, options).train(); }, "needs evaluations: set eval_strategy"));
  a.eval_strategy = "steps";
  a.load_best_model_at_end = true;
  a.metric_for_best_model = "accuracy";
  EXPECT_TRUE(throws([&] { GaudiTrainer(trainer_model(model), {}, a, options).train(); },
                     "metric_for_best_model: the evaluation has no 'eval_accuracy'"));
  EXPECT_TRUE(throws([] { EarlyStoppingCallback(0); }, "[EarlyStoppingCallback] got patience 0"));
}

TEST_F(TrainerEvents, MetricsOfTheCaller) {
  auto a = args();
  a.num_train_epochs = 10;
  a.eval_strategy = a.save_strategy = "epoch";
  a.load_best_model_at_end = true;
  a.metric_for_best_model = "accuracy";
  a.eval_accumulation_steps = 1;
  auto options = both(32, 30);
  options.compute_metrics = [](const Predictions& p) {
    EXPECT_EQ(p.predictions.at(0).size(0), 30);
    Log log;
    log.set("accuracy", p.predictions[0].argmax(1).eq(p.labels.at("labels")).to(at::kFloat).mean().item<double>());
    log.set("eval_named", 7);
    return log;
  };
  Classifier model = classifier();
  GaudiTrainer trainer(trainer_model(model), {}, a, options);
  trainer.train();
  const auto accuracies = logged(trainer.state(), "eval_accuracy");
  ASSERT_EQ(accuracies.size(), 10u);
  EXPECT_EQ(logged(trainer.state(), "eval_named"), std::vector<double>(10, 7));
  const auto best = std::max_element(accuracies.begin(), accuracies.end());
  EXPECT_DOUBLE_EQ(*trainer.state().best_metric, *best);
  EXPECT_EQ(trainer.state().best_global_step, 8 * (best - accuracies.begin() + 1));
  EXPECT_DOUBLE_EQ(trainer.evaluate().number("eval_accuracy"), *best);  // the best weights are back
  EXPECT_EQ(trainer.predict(options.eval_dataset, "last").metrics.number("last_accuracy"), *best);
  EXPECT_EQ(trainer.evaluate(options.eval_dataset, "other").number("other_accuracy"), *best);
}

TEST_F(TrainerEvents, StepsAndEpochs) {
  const auto steps = [&](double epochs, int64_t max_steps, int64_t accumulation) {
    auto a = args();
    a.num_train_epochs = epochs;
    a.max_steps = max_steps;
    a.gradient_accumulation_steps = accumulation;
    Classifier model = classifier();
    GaudiTrainer trainer(trainer_model(model), {}, a, both(20, 4));
    trainer.train();
    return std::pair(trainer.state().global_step, trainer.state().epoch);
  };
  EXPECT_EQ(steps(2, -1, 1), std::pair(int64_t{10}, 2.0));
  EXPECT_EQ(steps(0.5, -1, 1), std::pair(int64_t{3}, 0.6));
  EXPECT_EQ(steps(100, 7, 1), std::pair(int64_t{7}, 1.4));
  EXPECT_EQ(steps(1, 12, 1), std::pair(int64_t{12}, 2.4));
  EXPECT_EQ(steps(2, -1, 2), std::pair(int64_t{6}, 2.0));  // 2, 2 and 1 batches
  EXPECT_EQ(steps(1, -1, 9), std::pair(int64_t{1}, 1.0));
  EXPECT_EQ(steps(0, -1, 1), std::pair(int64_t{0}, 0.0));
}

TEST_F(TrainerEvents, WhenIsLoggedEvaluatedAndSaved) {
  const auto run = [&](const std::function<void(GaudiTrainingArguments&)>& set) {
    auto a = args();
    a.num_train_epochs = 2;
    a.logging_strategy = "no";
    set(a);
    Classifier model = classifier();
    GaudiTrainer trainer(trainer_model(model), {}, a, both(20, 4));  // 5 steps an epoch
    trainer.train();
    std::vector<int64_t> logs, evaluations;
    for (const Log& log : trainer.state().log_history) {
      if (log.contains("loss") || log.contains("eval_loss")) {
        (log.contains("loss") ? logs : evaluations).push_back(static_cast<int64_t>(log.number("step")));
      }
    }
    return std::tuple(logs, evaluations, checkpoints());
  };
  using Steps = std::vector<int64_t>;
  using Saves = std::set<int64_t>;
  EXPECT_EQ(run([](auto&) {}), std::tuple(Steps{}, Steps{}, Saves{}));
  EXPECT_EQ(run([](auto& a) { a.logging_strategy = a.eval_strategy = a.save_strategy = "epoch"; }),
            std::tuple(Steps({5, 10}), Steps({5, 10}), Saves({5, 10})));
  EXPECT_EQ(run([](auto& a) {
              a.logging_strategy = a.eval_strategy = a.save_strategy = "steps";
              a.logging_steps = 0.4;  // of 10
              a.eval_steps = 3;
              a.save_steps = 6;
            }),
            std::tuple(Steps({4, 8}), Steps({3, 6, 9}), Saves({6, 10})));  // the last step is always kept
  EXPECT_EQ(run([](auto& a) {
              a.logging_strategy = a.eval_strategy = "steps";
              a.logging_steps = 4;
              a.logging_first_step = a.eval_on_start = true;
              a.eval_delay = 6;
            }),
            std::tuple(Steps({1, 4, 8}), Steps({0, 8}), Saves{}));  // eval_steps are logging_steps
  EXPECT_EQ(run([](auto& a) {
              a.eval_strategy = "epoch";
              a.eval_delay = 2;
            }),
            std::tuple(Steps{}, Steps({10}), Saves{}));
}

TEST_F(TrainerEvents, CheckpointsThatStay) {
  const auto kept = [&](int64_t limit, bool best, double lr) {
    auto a = args();
    a.max_steps = 4;
    a.learning_rate = lr;
    a.save_strategy = a.eval_strategy = "steps";
    a.save_steps = 1;
    a.eval_steps = 1;
    a.save_total_limit = limit;
    a.load_best_model_at_end = best;
    Classifier model = classifier();
    GaudiTrainer trainer(trainer_model(model), {}, a, both(24, 8));
    trainer.train();
    return checkpoints();
  };
  using Saves = std::set<int64_t>;
  EXPECT_EQ(kept(2, false, 0.1), Saves({3, 4}));
  EXPECT_EQ(kept(1, false, 0.1), Saves({4}));
  EXPECT_EQ(kept(3, true, 0), Saves({1, 3, 4}));  // the first is the best
  EXPECT_EQ(kept(2, true, 0), Saves({1, 4}));
  EXPECT_EQ(kept(1, true, 0), Saves({1, 4}));  // the newest one stays too
  EXPECT_EQ(kept(100, true, 0.1), Saves({1, 2, 3, 4}));
  auto a = args();
  a.max_steps = 6;
  a.learning_rate = 0;
  a.save_strategy = "best";
  a.eval_strategy = "steps";
  Classifier model = classifier();
  GaudiTrainer trainer(trainer_model(model), {}, a, both(24, 8));
  trainer.train();
  EXPECT_EQ(checkpoints(), Saves({1}));
  EXPECT_EQ(GaudiTrainer::last_checkpoint(path("out")), path("out/checkpoint-1"));
  EXPECT_EQ(GaudiTrainer::last_checkpoint(path("nowhere")), "");
}

TEST_F(TrainerEvents, AnOutputFolderIsNotOverwrittenUnasked) {
  auto a = args();
  a.max_steps = 2;
  a.save_strategy = "steps";
  a.save_steps = 2;
  Classifier model = classifier();
  GaudiTrainer(trainer_model(model), {}, a, both(8, 4)).train();
  a.overwrite_output_dir = false;
  EXPECT_TRUE(throws([&] { GaudiTrainer(trainer_model(model), {}, a, both(8, 4)).train(); },
                     "holds checkpoints: set resume_from_checkpoint=true to go on from the newest, or overwrite_output_dir=true"));
  a.resume_from_checkpoint = "true";
  EXPECT_EQ(GaudiTrainer(trainer_model(model), {}, a, both(8, 4)).train().global_step, 2);
}

TEST_F(TrainerEvents, SavedModels) {
  auto a = args();
  a.max_steps = 2;
  Classifier model = classifier();
  GaudiConfig config;
  config.use_fused_adam = true;
  GaudiTrainer trainer(trainer_model(model), config, a, both(8, 4));
  trainer.train();
  trainer.save_model();
  trainer.save_model(path("other/folder"));
  for (const char* folder : {"out", "other/folder"}) {
    const auto tensors = load_safetensors(path(folder) + "/model.safetensors");
    EXPECT_EQ(tensors.size(), 2u);
    EXPECT_TRUE(at::equal(tensors.at("linear.weight"), model->linear->weight.detach()));
    EXPECT_TRUE(GaudiConfig::from_pretrained(path(folder)).use_fused_adam);
    EXPECT_EQ(GaudiTrainingArguments::load(path(folder) + "/training_args.json").to_json(), a.to_json());
  }
}

TEST_F(TrainerEvents, LogsOnDisk) {
  auto a = args();
  a.max_steps = 4;
  a.logging_steps = 2;
  a.eval_strategy = "steps";
  a.eval_steps = 4;
  a.report_to = "tensorboard";
  a.throughput_warmup_steps = 1;
  Classifier model = classifier();
  GaudiTrainer trainer(trainer_model(model), {}, a, both(16, 12));
  const TrainOutput output = trainer.train();
  trainer.evaluate();  // after training: the warm-up is left out of its speed
  std::ifstream lines(path("out/log.jsonl"));
  std::vector<nlohmann::json> logs;
  for (std::string line; std::getline(lines, line);) {
    logs.push_back(nlohmann::json::parse(line));
  }
  const auto keys = [](const nlohmann::json& log) {
    std::set<std::string> names;
    for (const auto& [name, unused] : log.items()) {
      names.insert(name);
    }
    return names;
  };
  using Names = std::set<std::string>;
  ASSERT_EQ(logs.size(), 5u);
  EXPECT_EQ(keys(logs[0]), Names({"loss", "grad_norm", "learning_rate", "epoch", "step"}));
  EXPECT_EQ(logs[1].at("step"), 4);
  EXPECT_EQ(logs[1].at("learning_rate"), 0.1);
  EXPECT_EQ(keys(logs[2]), Names({"eval_loss", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "epoch", "step"}));
  EXPECT_EQ(keys(logs[3]), Names({"train_runtime", "train_samples_per_second", "train_steps_per_second", "train_warmup_runtime",
                                  "train_loss", "train_graphs_compiled", "total_flos", "epoch", "step"}));
  EXPECT_TRUE(keys(logs[4]).count("eval_graph_compilation_duration"));
  const auto state = TrainerState::load_from_json(path("out/trainer_state.json"));
  EXPECT_EQ(state.log_history.size(), 4u);
  EXPECT_EQ(state.global_step, 4);

  // The event file: records of length, checksum, data, checksum, to the last byte.
  std::string data;
  for (const auto& entry : fs::directory_iterator(path("out/runs"))) {
    EXPECT_TRUE(data.empty());
    data = read(entry.path());
  }
  std::vector<std::string> records;
  size_t at = 0;
  while (at < data.size()) {
    uint64_t size = 0;
    ASSERT_LE(at + 12, data.size());
    std::memcpy(&size, data.data() + at, 8);
    ASSERT_LE(at + 16 + size, data.size());
    records.push_back(data.substr(at + 12, size));
    at += 16 + size;
  }
  const auto with = [&](const std::string& text) {
    return std::count_if(records.begin(), records.end(), [&](const std::string& r) { return r.find(text) != std::string::npos; });
  };
  EXPECT_EQ(with("brain.Event:2"), 1);
  EXPECT_EQ(with("args/text_summary"), 1);
  EXPECT_EQ(with("\"logging_steps\": 2.0"), 1);
  EXPECT_EQ(with("train/loss"), 2);
  EXPECT_EQ(with("train/learning_rate"), 2);
  EXPECT_EQ(with("eval/loss"), 2);
  EXPECT_EQ(with("train/train_loss"), 1);
}

TEST_F(TrainerEvents, LengthsGroupBatches) {
  struct Lengths : torch::nn::Module {
    at::Tensor weight = register_parameter("weight", at::ones({1}));
    std::vector<std::vector<int64_t>> seen;
  };
  auto module = std::make_shared<Lengths>();
  TrainerModel model;
  model.module = module;
  model.forward = [module](const Batch& batch) {
    const at::Tensor lengths = batch.at("attention_mask").sum(1).contiguous();
    module->seen.emplace_back(lengths.data_ptr<int64_t>(), lengths.data_ptr<int64_t>() + lengths.numel());
    ModelOutput output;
    output.loss = (module->weight * static_cast<double>(lengths.numel())).sum();
    return output;
  };
  std::vector<Example> examples;
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < 24; ++i) {
    lengths.push_back(1 + i * 7 % 24);
    const at::Tensor row = at::ones({lengths.back()}, at::kLong);
    examples.push_back({{"input_ids", row}, {"attention_mask", row}});
  }
  auto a = args();
  a.group_by_length = true;
  a.num_train_epochs = 1;
  TrainerOptions options;
  options.train_dataset = std::make_shared<ListDataset>(examples);
  GaudiTrainer(model, {}, a, options).train();
  std::vector<int64_t> expected, got;
  for (const int64_t index : LengthGroupedSampler(lengths, 4, 42).indices(0)) {
    expected.push_back(lengths[static_cast<size_t>(index)]);
  }
  ASSERT_EQ(module->seen.size(), 6u);
  for (const auto& batch : module->seen) {
    got.insert(got.end(), batch.begin(), batch.end());
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(got.front(), 24);
}

TEST_F(TrainerEvents, LabelsOfOtherNames) {
  auto rows = class_rows(12);
  rows["target"] = rows.at("labels");
  rows.erase("labels");
  TrainerOptions options;
  options.train_dataset = options.eval_dataset = std::make_shared<TensorDataset>(rows);
  options.label_names = {"target"};
  options.compute_metrics = [](const Predictions& p) { return Log{{"rows", p.labels.at("target").size(0)}}; };
  Classifier model = classifier();
  TrainerModel wrapped = trainer_model(model);
  wrapped.forward = [model](const Batch& batch) mutable { return model->forward({{"x", batch.at("x")}, {"labels", batch.at("target")}}); };
  auto a = args();
  a.num_train_epochs = 10;
  a.label_smoothing_factor = 0.1;
  GaudiTrainer trainer(wrapped, {}, a, options);
  trainer.train();
  EXPECT_EQ(trainer.evaluate().number("eval_rows"), 12);
  const auto losses = logged(trainer.state(), "loss");
  EXPECT_LT(losses.back(), losses.front());
}

TEST_F(TrainerEvents, PredictionsOfDifferentLengthsArePadded) {
  TrainerModel model;
  auto module = std::make_shared<torch::nn::LinearImpl>(1, 1);
  model.module = module;
  model.forward = [](const Batch& batch) {
    ModelOutput output;
    output.predictions = {batch.at("input_ids") * 2};
    return output;
  };
  std::vector<Example> examples;
  for (int64_t i = 1; i <= 6; ++i) {
    examples.push_back({{"input_ids", at::full({i}, i, at::kLong)}});
  }
  auto a = args();
  GaudiTrainer trainer(model, {}, a, {});
  const auto predicted = trainer.predict(std::make_shared<ListDataset>(examples)).values.predictions.at(0);
  ASSERT_EQ(predicted.sizes(), (c10::IntArrayRef{6, 6}));
  EXPECT_EQ(predicted[0][0].item<int64_t>(), 2);
  EXPECT_EQ(predicted[0][1].item<int64_t>(), 0);     // padded within its batch
  EXPECT_EQ(predicted[0][5].item<int64_t>(), -100);  // and to the longest batch
  EXPECT_EQ(predicted[5][5].item<int64_t>(), 12);
}

TEST_F(TrainerEvents, ModulesKeepTheirMode) {
  Classifier model = classifier();
  auto options = both(8, 6);
  options.compute_metrics = [](const Predictions&) -> Log { TORCH_CHECK(false, "no metrics today"); };
  GaudiTrainer trainer(trainer_model(model), {}, args(), options);
  trainer.predict(std::make_shared<TensorDataset>(std::map{*class_rows(3).find("x")}));
  EXPECT_TRUE(model->is_training());
  EXPECT_EQ(std::count(model->trained.begin(), model->trained.end(), true), 0);
  EXPECT_TRUE(throws([&] { trainer.evaluate(); }, "no metrics today"));
  EXPECT_TRUE(model->is_training());
  options.compute_metrics = nullptr;
  TrainerModel broken = trainer_model(model);
  broken.forward = [](const Batch&) -> ModelOutput { TORCH_CHECK(false, "no forward today"); };
  GaudiTrainer other(broken, {}, args(), options);
  EXPECT_TRUE(throws([&] { other.evaluate(); }, "no forward today"));
  EXPECT_TRUE(model->is_training());
}

}  // namespace
