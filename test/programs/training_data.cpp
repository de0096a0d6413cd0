// What test/python/test_training_data.py compares with Python: training_data TASKS.json ANSWERS.json. Every task is an object with one key,
// its kind; the answers are a list in the same order.
#include <torch_hpu/safetensors.h>
#include <torch_hpu/training_data.h>
#include <torch_hpu/training_log.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;
using namespace torch_hpu;

std::shared_ptr<const Sampler> make_sampler(const Json& task) {
  const std::string order = task.at("order");
  std::shared_ptr<const Sampler> sampler;
  if (order == "sequential") {
    sampler = std::make_shared<SequentialSampler>(task.at("size"));
  } else if (order == "random") {
    const auto samples = task.contains("num_samples") ? std::optional<int64_t>(task["num_samples"]) : std::nullopt;
    sampler = std::make_shared<RandomSampler>(task.at("size"), task.at("seed"), samples);
  } else if (order == "padded") {
    sampler = std::make_shared<PaddedRandomSampler>(task.at("size"), task.at("batch_size"), task.at("seed"));
  } else {
    TORCH_CHECK(order == "length_grouped", "unknown order ", order);
    sampler =
        std::make_shared<LengthGroupedSampler>(task.at("lengths").get<std::vector<int64_t>>(), task.at("batch_size"), task.at("seed"));
  }
  if (task.contains("world_size")) {
    sampler = std::make_shared<DistributedSampler>(sampler, task.at("rank"), task.at("world_size"), task.value("drop_last", false));
  }
  return sampler;
}

std::vector<int64_t> values(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

Json answer(const std::string& kind, const Json& task) {
  if (kind == "sampler") {
    return make_sampler(task)->indices(task.at("epoch"));
  }
  if (kind == "state") {  // read, show, write again
    const TrainerState state = TrainerState::load_from_json(task.at("from"));
    state.save_to_json(task.at("to"));
    JsonLinesWriter lines(task.at("lines"), /*append=*/false);
    Json texts = Json::array();
    for (const Log& log : state.log_history) {
      texts.push_back(format_log(log));
      lines.write(log);
    }
    return texts;
  }
  if (kind == "events") {
    TensorBoardWriter writer(task.at("folder"));
    writer.add_text("args", task.at("text"));
    const TrainerState state = TrainerState::load_from_json(task.at("state"));
    for (const Log& log : state.log_history) {
      writer.add_log(log, static_cast<int64_t>(log.number("step")));
    }
    return writer.path();
  }
  if (kind == "tokens") {
    const std::string path = task.at("path");
    const auto data = task.contains("dtype")
                          ? TokenDataset(path, task.at("block_size"), static_cast<at::ScalarType>(task["dtype"].get<int>()))
                          : TokenDataset(path, task.at("block_size"));
    Json blocks = Json::array();
    for (int64_t i = 0; i < data.size(); ++i) {
      blocks.push_back(values(data.get(i).at("input_ids")));
    }
    return blocks;
  }
  if (kind == "map") {
    save_safetensors(task.at("to"), task.contains("index") ? load_safetensors_sharded(task["index"]) : map_safetensors(task.at("from")));
    return nullptr;
  }
  if (kind == "batches") {  // of a safetensors file, by worker threads
    const auto data = std::make_shared<SafetensorsDataset>(task.at("path"));
    DataLoaderOptions options;
    options.batch_size = task.at("batch_size");
    options.num_workers = task.at("num_workers");
    DataLoader loader(data, make_sampler(task), options);
    loader.start_epoch(task.at("epoch"), task.value("batch", 0));
    Json labels = Json::array();
    while (const auto batch = loader.next()) {
      labels.push_back(values(batch->at("labels")));
    }
    return labels;
  }
  TORCH_CHECK(kind == "progress", "unknown task ", kind);
  ProgressText text;
  text.n = task.at("n");
  text.total = task.at("total").is_null() ? std::nullopt : std::optional<int64_t>(task["total"]);
  text.elapsed_seconds = task.at("elapsed");
  text.rate = task.at("rate");
  text.description = task.at("description");
  text.postfix = task.at("postfix");
  text.ascii = task.at("ascii");
  return format_progress(text, task.at("columns"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: training_data TASKS.json ANSWERS.json\n";
    return 2;
  }
  try {
    Json answers = Json::array();
    for (const Json& task : Json::parse(std::ifstream(argv[1]))) {
      answers.push_back(answer(task.begin().key(), task.begin().value()));
    }
    std::ofstream(argv[2]) << answers.dump();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
