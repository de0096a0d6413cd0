// How many graphs a training run compiles, in every mode, and what a captured step must not change.
#include <torch/nn/modules/linear.h>
#include <torch_hpu/trainer.h>

#include <ATen/ops/arange.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include "test/cpp/api/compile_at_once.h"
#include "test/cpp/train/trainer_models.h"

namespace {

using namespace torch_hpu;
using namespace torch_hpu::test;

// A layer over `width` features, and one that nothing uses.
struct NetImpl : torch::nn::Module {
  explicit NetImpl(int64_t width)
      : used(register_module("used", torch::nn::Linear(width, 3))), idle(register_module("idle", torch::nn::Linear(width, 3))) {}
  ModelOutput forward(const Batch& batch) {
    ModelOutput output;
    output.predictions = {used(batch.at("x")).tanh()};
    output.loss = at::cross_entropy_loss(output.predictions.front().to(at::kFloat), batch.at("labels"));
    return output;
  }
  torch::nn::Linear used, idle;
};
TORCH_MODULE(Net);

std::shared_ptr<Dataset> rows(int64_t n, int64_t width, bool lengths = false) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{5});
  std::map<std::string, at::Tensor> fields{{"x", at::randn({n, width}, generator)},
                                           {"labels", at::randint(3, {n}, generator, at::TensorOptions().dtype(at::kLong))}};
  if (lengths) {
    fields["length"] = at::arange(n);
  }
  return std::make_shared<TensorDataset>(fields);
}

struct Case {
  const char* name;
  std::function<void(GaudiTrainingArguments&)> change;
  int64_t examples;
  int64_t training, evaluation = 0;  // graphs
};

const auto graphs = [](GaudiTrainingArguments& a) { a.use_hpu_graphs_for_training = true; };
const auto accumulates = [](GaudiTrainingArguments& a) { a.gradient_accumulation_steps = 3; };
const auto evaluates = [](GaudiTrainingArguments& a) {
  a.eval_strategy = "steps";
  a.eval_steps = 4;
};
const auto short_batch = [](GaudiTrainingArguments& a) { a.group_by_length = true; };

// A step is two graphs: forward and backward, then clipping and the optimizer. Both are the same in the first step, after a log, and in a capture.
const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"Lazy", [](auto&) {}, 24, 2},
      // The first batch makes the gradients, others add to them. 40 examples: the last step of an epoch has one batch only.
      {"LazyAccumulation", [](auto& a) { accumulates(a); }, 40, 3},
      {"LazyShortBatch", [](auto& a) { short_batch(a); }, 22, 3},
      {"LazyFilteredLosses", [](auto& a) { a.logging_nan_inf_filter = true; }, 24, 2},
      {"LazySchedule", [](auto& a) { a.lr_scheduler_type = "cosine"; }, 24, 2},
      {"LazyEvaluation", [](auto& a) { evaluates(a); }, 24, 2, 1},
      {"LazyEvaluationShortBatch", [](auto& a) { evaluates(a); }, 22, 2, 2},
      // The other graph of an evaluation copies what it is captured with.
      {"LazyEvaluationGraphs",
       [](auto& a) {
         evaluates(a);
         a.use_hpu_graphs_for_inference = true;
       },
       24, 2, 2},
      {"Graphs", [](auto& a) { graphs(a); }, 24, 2},
      {"GraphsAccumulation",
       [](auto& a) {
         graphs(a);
         accumulates(a);
       },
       40, 2},
      {"GraphsShortBatch",
       [](auto& a) {
         graphs(a);
         short_batch(a);
       },
       22, 3},
      {"GraphsFilteredLosses",
       [](auto& a) {
         graphs(a);
         a.logging_nan_inf_filter = true;
       },
       24, 2},
      {"GraphsSchedule",
       [](auto& a) {
         graphs(a);
         a.lr_scheduler_type = "cosine";
       },
       24, 2},
      {"GraphsEvaluationGraphs",
       [](auto& a) {
         graphs(a);
         evaluates(a);
         a.use_hpu_graphs_for_inference = true;
       },
       24, 2, 2},
  };
  return all;
}

struct TrainerGraphs : InFolder, testing::WithParamInterface<size_t> {};
INSTANTIATE_TEST_SUITE_P(, TrainerGraphs, testing::Range(size_t{0}, cases().size()),
                         [](const auto& info) { return std::string(cases()[info.param].name); });

TEST_P(TrainerGraphs, AreFewAndCounted) {
  const CompileAtOnce at_once;
  const Case& c = cases()[GetParam()];
  const auto width = static_cast<int64_t>(20 + GetParam());  // of this case alone: nothing is compiled already
  const auto run = [&](const char* device, auto&& check) {
    torch::manual_seed(3);
    Net net(width);
    auto a = arguments(path(device), device);
    a.max_steps = 14;
    a.logging_steps = 5;
    a.weight_decay = 0.5;
    c.change(a);
    if (a.use_cpu) {
      a.use_hpu_graphs_for_training = a.use_hpu_graphs_for_inference = false;
    }
    TrainerOptions options;
    options.train_dataset = options.eval_dataset = rows(c.examples, width, a.group_by_length);
    const at::Tensor idle = net->idle->weight.detach().clone();
    GaudiTrainer trainer(trainer_model(net), {}, a, options);
    testing::internal::CaptureStdout();
    const TrainOutput output = trainer.train();
    const std::string words = testing::internal::GetCapturedStdout();
    EXPECT_TRUE(at::equal(net->idle->weight.detach().cpu(), idle)) << "a parameter without gradients has decayed";
    check(output, words);
    return net->used->weight.detach().cpu();
  };
  const at::Tensor here = run("hpu", [&](const TrainOutput& output, const std::string& words) {
    EXPECT_EQ(output.metrics.number("train_graphs_compiled"), c.training);
    EXPECT_EQ(output.metrics.contains("eval_graphs_compiled") ? output.metrics.number("eval_graphs_compiled") : 0, c.evaluation);
    EXPECT_NE(words.find("First 3 steps (compilation and warm-up):"), std::string::npos) << words;
  });
  const at::Tensor there =
      run("cpu", [](const TrainOutput& output, const std::string&) { EXPECT_EQ(output.metrics.number("train_graphs_compiled"), 0); });
  EXPECT_LE((here - there).abs().max().item<double>(), 1e-5);
}

}  // namespace
