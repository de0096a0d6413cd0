// What test/python/test_tokenizers.py compares with Python: tokenize TASKS.json RESULTS.json. Every task names a kind (clip or wordpiece)
// and a tokenizer's folder, and has texts, or hex for texts that are no UTF-8; its result has their ids, and for the first `shown` of them
// tokens and decoded texts. With train it first learns a CLIP tokenizer from other texts, with save it writes one to a folder, with batch
// it makes one tensor.
#include <torch_hpu/clip_tokenizer.h>
#include <torch_hpu/wordpiece_tokenizer.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;
using namespace torch_hpu;

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Json rows(const at::Tensor& tensor) {
  Json all = Json::array();
  const auto* value = tensor.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < tensor.size(0); ++i, value += tensor.size(1)) {
    all.push_back(std::vector<int64_t>(value, value + tensor.size(1)));
  }
  return all;
}

template <typename Tokenizer>
Json run(const Tokenizer& tokenizer, const Json& task) {
  auto texts = task.value("texts", std::vector<std::string>());
  for (const std::string& hex : task.value("hex", std::vector<std::string>())) {
    texts.push_back(from_hex(hex));
  }
  Json result;
  result["vocab_size"] = tokenizer.vocab_size();
  result["model_max_length"] = tokenizer.model_max_length();
  if (task.contains("batch")) {
    const Json& batch = task["batch"];
    TokenizeOptions options;
    options.truncation = batch.value("truncation", true);
    options.pad_to_max_length = batch.value("pad_to_max_length", false);
    if (batch.contains("max_length")) {
      options.max_length = batch["max_length"].get<int64_t>();
    }
    const TokenBatch tokens = tokenizer(texts, options);
    result["input_ids"] = rows(tokens.input_ids);
    result["attention_mask"] = rows(tokens.attention_mask);
    result["token_type_ids"] = rows(tokens.token_type_ids);
    return result;
  }
  const std::clock_t start = std::clock();
  for (const std::string& text : texts) {
    result["ids"].push_back(tokenizer.encode(text));
  }
  result["seconds"] = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  for (size_t i = 0; i < std::min(texts.size(), task.value("shown", texts.size())); ++i) {
    const auto ids = result["ids"][i].get<std::vector<int64_t>>();
    result["tokens"].push_back(tokenizer.tokenize(texts[i]));
    result["decoded"].push_back(tokenizer.decode(ids, /*skip_special_tokens=*/false));
    result["decoded_without_special_tokens"].push_back(tokenizer.decode(ids));
  }
  for (const Json& ids : task.value("decode", Json::array())) {
    result["decoded"].push_back(tokenizer.decode(ids.get<std::vector<int64_t>>(), /*skip_special_tokens=*/false));
  }
  return result;
}

Json run(const Json& task) {
  if (task.at("kind") == "wordpiece") {
    return run(WordPieceTokenizer::from_pretrained(task.at("folder")), task);
  }
  const auto tokenizer = task.contains("train") ? CLIPTokenizer::train(task["train"], task.at("train_size"))
                                                : CLIPTokenizer::from_pretrained(task.at("folder"), task.value("subfolder", ""));
  if (task.contains("save")) {
    tokenizer.save_pretrained(task["save"]);
  }
  return run(tokenizer, task);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: tokenize TASKS.json RESULTS.json\n";
    return 2;
  }
  try {
    Json results = Json::array();
    for (const Json& task : Json::parse(std::ifstream(argv[1]))) {
      results.push_back(run(task));
    }
    std::ofstream(argv[2]) << results.dump();
    return 0;
  } catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << "\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
  }
  return 1;
}
