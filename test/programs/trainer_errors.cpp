// trainer_errors TASK.json: does what a user got wrong, for the tables of test/error/test_trainer_*.py. Errors on stderr, status 1. A list of tasks:
// the words of each on stdout, as a line of JSON.
// {"kind": "train", "arguments": {...}, "data": FILE, "eval": FILE, "features": 4, "classes": 3, "twice": false (a second layer), "label_names": [...],
//  "config": gaudi_config.json, "flaw": ...} trains a linear classifier of "x" and "labels"; other kinds are single calls.
#include <torch/nn/modules/linear.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/models/gpt.h>
#include <torch_hpu/trainer.h>

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;
using namespace torch_hpu;

struct ClassifierImpl : torch::nn::Module {
  explicit ClassifierImpl(const Json& task) : flaw(task.value("flaw", "")) {
    first = register_module("first", torch::nn::Linear(task.value("features", 4), task.value("classes", 3)));
    if (task.value("twice", false)) {
      second = register_module("second", torch::nn::Linear(task.value("classes", 3), task.value("classes", 3)));
    }
    if (flaw == "frozen") {
      for (at::Tensor& p : parameters()) {
        p.requires_grad_(false);
      }
    }
  }
  ModelOutput forward(const Batch& batch) {
    TORCH_CHECK(batch.count("x") == 1, "the batch has no x");
    at::Tensor scores = first(batch.at("x"));
    if (second) {
      scores = second(scores);
    }
    ModelOutput output;
    if (flaw != "no scores") {
      output.predictions = {flaw == "flat scores" ? scores.sum(1) : scores};
    }
    if (const auto labels = batch.find("labels"); labels != batch.end()) {
      output.loss = at::cross_entropy_loss(scores, labels->second);
      if (flaw == "loss of each") {
        output.loss = scores.sum(1);
      } else if (flaw == "detached loss") {
        output.loss = output.loss.detach();
      }
    }
    return output;
  }
  std::string flaw;
  torch::nn::Linear first{nullptr}, second{nullptr};
};
TORCH_MODULE(Classifier);

// Examples whose flaw shows when they are loaded or put together.
std::shared_ptr<Dataset> list_data(const std::string& flaw) {
  const auto row = [](int64_t n) { return at::ones({n}); };
  if (flaw == "no examples") {
    return std::make_shared<ListDataset>(std::vector<Example>{});
  }
  if (flaw == "no fields") {
    return std::make_shared<ListDataset>(std::vector<Example>(4));
  }
  Example good{{"x", row(4)}, {"labels", at::ones({}, at::kLong)}}, bad = good;
  if (flaw == "lengths") {
    bad["x"] = row(5);
  } else if (flaw == "dims") {
    bad["x"] = at::ones({2, 2});
  } else if (flaw == "dtypes") {
    bad["x"] = at::ones({4}, at::kLong);
  } else if (flaw == "names") {
    bad = {{"y", row(4)}, {"labels", good.at("labels")}};
  } else if (flaw == "more names") {
    bad["y"] = row(1);
  } else if (flaw == "undefined") {
    bad["x"] = at::Tensor();
  }
  return std::make_shared<ListDataset>(std::vector<Example>{good, good, bad, good});
}

void train(const Json& task) {
  GaudiTrainingArguments args;
  args.update_from_json(task.at("arguments").dump());
  TrainerOptions options;
  const auto data = [&](const char* name) -> std::shared_ptr<Dataset> {
    return task.contains(name) ? std::make_shared<SafetensorsDataset>(task[name]) : nullptr;
  };
  const std::string flaw = task.value("flaw", "");
  options.train_dataset = task.contains("list") ? list_data(task["list"]) : data("data");
  options.eval_dataset = task.contains("eval_list") ? list_data(task["eval_list"]) : data("eval");
  options.label_names = task.value("label_names", options.label_names);
  if (flaw == "empty batch") {
    options.collate = [](const std::vector<Example>&) { return Batch(); };
  } else if (flaw == "batch of scalars") {
    options.collate = [](const std::vector<Example>&) { return Batch{{"a", at::ones({})}}; };
  } else if (flaw == "text metric") {
    options.compute_metrics = [](const Predictions&) { return Log{{"accuracy", std::string("good")}}; };
  } else if (flaw == "no optimizer") {
    options.make_optimizer = [](auto) { return nullptr; };
  } else if (flaw == "early stopping") {
    options.callbacks.push_back(std::make_shared<EarlyStoppingCallback>());
  }
  TrainerModel model;
  if (task.contains("model")) {
    model = trainer_model(GPT(GPTImpl::from_pretrained(task["model"])));
    options.shift_labels = true;
  } else if (flaw != "no module") {
    model = trainer_model(Classifier(task));
  }
  const GaudiConfig config = task.contains("config") ? GaudiConfig::from_pretrained(task["config"]) : GaudiConfig();
  GaudiTrainer trainer(model, config, args, options);
  const std::string action = task.value("action", "train");
  if (action == "evaluate") {
    trainer.evaluate();
  } else if (action == "predict") {
    trainer.predict(options.eval_dataset);
  } else if (action == "save") {
    trainer.save_model(task.at("to"));
  } else {
    trainer.train();
  }
  if (args.use_habana) {
    synchronize();
  }
}

// Indices that no dataset has.
struct Beyond : Sampler {
  explicit Beyond(int64_t index) : index(index) {}
  int64_t size() const override {
    return 4;
  }
  std::vector<int64_t> indices(int64_t) const override {
    return index < -1 ? std::vector<int64_t>{0} : std::vector<int64_t>{0, 1, index, 2};
  }
  std::string describe() const override {
    return "beyond";
  }
  int64_t index;
};

void load_all(const std::shared_ptr<Dataset>& data, const std::shared_ptr<Sampler>& sampler, const Json& task) {
  DataLoaderOptions options;
  options.batch_size = task.value("batch_size", 2);
  options.num_workers = task.value("num_workers", 0);
  DataLoader loader(data, sampler, options);
  while (loader.next()) {
  }
}

void sample(const Json& task) {
  const std::string order = task.at("order");
  const int64_t size = task.value("size", 4), batch = task.value("batch_size", 2);
  if (order == "sequential") {
    SequentialSampler{size};
  } else if (order == "random") {
    RandomSampler(size, 0, task.contains("samples") ? std::optional<int64_t>(task["samples"]) : std::nullopt);
  } else if (order == "padded") {
    PaddedRandomSampler(size, batch, 0);
  } else if (order == "length_grouped") {
    LengthGroupedSampler(std::vector<int64_t>(static_cast<size_t>(size), 1), batch, 0,
                         task.contains("mega_batches") ? std::optional<int64_t>(task["mega_batches"]) : std::nullopt);
  } else if (order == "lengths") {
    dataset_lengths(TensorDataset({{"x", at::ones({2, 2})}}));
  } else if (order == "distributed") {
    DistributedSampler(std::make_shared<RandomSampler>(size, 0), task.value("rank", 0), task.value("world_size", 1));
  } else {
    load_all(std::make_shared<TensorDataset>(std::map<std::string, at::Tensor>{{"x", at::ones({4, 2})}}),
             std::make_shared<Beyond>(task.at("index")), task);
  }
}

void tokens(const Json& task) {
  if (task.contains("save")) {
    const auto values = task["save"].get<std::vector<int64_t>>();
    save_tokens(task.at("path"), at::tensor(values, at::kLong), task.value("dtype", "") == "uint8" ? at::kByte : at::kUInt16);
  } else if (task.contains("dtype")) {
    TokenDataset(task.at("path"), task.at("block_size"), task["dtype"] == "uint16" ? at::kUInt16 : at::kHalf);
  } else {
    TokenDataset(task.at("path"), task.at("block_size"));
  }
}

void act(const Json& task) {
  const std::string kind = task.at("kind");
  if (kind == "train") {
    train(task);
  } else if (kind == "sampler") {
    sample(task);
  } else if (kind == "tokens") {
    tokens(task);
  } else if (kind == "list") {
    load_all(list_data(task.at("list")), std::make_shared<SequentialSampler>(4), task);
  } else {
    TORCH_CHECK(false, "unknown kind ", kind);
  }
}

// What is wrong with a task, in words; empty: nothing.
std::string error_of(const Json& task) {
  try {
    act(task);
    return "";
  } catch (const c10::Error& e) {
    return e.what_without_backtrace();
  } catch (const std::exception& e) {
    return std::string("std::exception: ") + e.what();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: trainer_errors TASK.json\n");
    return 2;
  }
  const Json task = Json::parse(std::ifstream(argv[1]));
  if (task.is_array()) {
    for (const Json& each : task) {
      std::printf("%s\n", Json(error_of(each)).dump().c_str());
    }
    return 0;
  }
  const std::string error = error_of(task);
  std::fprintf(stderr, "%s\n", error.c_str());
  return error.empty() ? 0 : 1;
}
