// generate MODEL_FOLDER TASKS.json: continues token rows as generate() of torch_hpu/models/gpt.h does; the twin of transformers' in test_gpt.py. A task
// is {"device", "ids", "dtype", "new", "temperature", "top_k", "seed", "graphs", "training"}; each answer is a line of JSON on stdout.
#include <torch_hpu/device.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/models/gpt.h>

#include <ATen/ops/tensor.h>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;
using namespace torch_hpu;

at::Tensor token_rows(const Json& task) {
  std::vector<int64_t> flat;
  const auto rows = task.at("ids").get<std::vector<std::vector<int64_t>>>();
  for (const auto& row : rows) {
    flat.insert(flat.end(), row.begin(), row.end());
  }
  const auto width = rows.empty() ? 1 : static_cast<int64_t>(rows.front().size());
  const at::Tensor ids = at::tensor(flat, at::kLong).view({static_cast<int64_t>(rows.size()), width});
  const std::string dtype = task.value("dtype", "int64");
  return dtype == "int32" ? ids.to(at::kInt) : dtype == "flat" ? ids.reshape({-1}) : ids;
}

Json answer(GPT& model, const Json& task) {
  model->to(task.at("device") == "hpu" ? kDevice : c10::Device(c10::kCPU));
  model->tie_weights();
  model->train(task.value("training", false));
  GenerateOptions options;
  options.max_new_tokens = task.value("new", options.max_new_tokens);
  options.temperature = task.value("temperature", options.temperature);
  options.top_k = task.value("top_k", options.top_k);
  options.seed = task.value("seed", options.seed);
  options.use_hpu_graphs = task.value("graphs", options.use_hpu_graphs);
  const auto before = metrics_snapshot();
  Json result = Json::object();
  try {
    const at::Tensor tokens = generate(model, token_rows(task), options);
    for (int64_t i = 0; i < tokens.size(0); ++i) {
      const at::Tensor row = tokens[i].contiguous();
      result["tokens"].push_back(std::vector<int64_t>(row.data_ptr<int64_t>(), row.data_ptr<int64_t>() + row.numel()));
    }
  } catch (const c10::Error& e) {
    result["error"] = e.what_without_backtrace();
  }
  const auto after = metrics_snapshot();
  for (const char* name : {"compilations", "graph_captures", "graph_replays"}) {
    result[name] = after.at(name) - before.at(name);
  }
  result["training"] = model->is_training();
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    TORCH_CHECK(argc == 3, "usage: generate MODEL_FOLDER TASKS.json");
    GPT model(GPTImpl::from_pretrained(argv[1]));
    for (const Json& task : Json::parse(std::ifstream(argv[2]))) {
      std::printf("%s\n", answer(model, task).dump().c_str());
    }
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
