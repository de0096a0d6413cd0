// What test/python/test_train_models.py compares with Python: models TASKS.json. Every task names a model's kind and folder, a device, and safetensors
// files with the fields of a batch and for the outputs; the gradients of the loss are among the outputs if there is one. An error is an output line.
#include <torch_hpu/device.h>
#include <torch_hpu/models/bert.h>
#include <torch_hpu/models/conv_net.h>
#include <torch_hpu/models/vit.h>
#include <torch_hpu/safetensors.h>
#include <torch_hpu/state_dict.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;
using Tensors = std::map<std::string, at::Tensor>;
using namespace torch_hpu;

template <typename Model>
Tensors run_model(const Json& task, std::shared_ptr<Model> model, const Batch& batch, c10::Device device) {
  if (task.contains("save")) {
    model->save_pretrained(task["save"]);
  }
  if (task.contains("save_as_trainer")) {  // the module's names
    const std::string folder = task["save_as_trainer"];
    model->save_config(folder);
    save_safetensors(folder + "/model.safetensors", state_dict(*model));
  }
  model->to(device);
  model->train(task.value("train", false));
  if constexpr (requires { model->set_gradient_checkpointing(true); }) {
    model->set_gradient_checkpointing(task.value("checkpointing", false));
  }
  const ModelOutput output = model->forward(batch);
  Tensors outputs{{"logits", output.predictions.front()}};
  if (output.loss.defined()) {
    outputs["loss"] = output.loss;
    output.loss.backward();
    for (const auto& parameter : model->named_parameters()) {
      if (parameter.value().grad().defined()) {
        outputs["gradient." + parameter.key()] = parameter.value().grad();
      }
    }
    for (const auto& buffer : model->named_buffers()) {
      outputs["buffer." + buffer.key()] = buffer.value();
    }
  }
  return outputs;
}

Tensors run_bert(const Json& task, const Batch& batch, c10::Device device) {
  const auto model = BertModelImpl::from_pretrained(task.at("folder"), task.value("pooler", true));
  if (task.contains("save")) {
    model->save_pretrained(task["save"]);
  }
  model->to(device);
  model->eval();
  const auto field = [&](const char* name) { return batch.count(name) == 1 ? batch.at(name) : at::Tensor(); };
  const auto output = model->forward(field("input_ids"), field("attention_mask"), field("token_type_ids"));
  Tensors outputs{{"last_hidden_state", output.last_hidden_state}};
  if (output.pooler_output.defined()) {
    outputs["pooler_output"] = output.pooler_output;
  }
  if (task.contains("sentences")) {
    BertModel holder(model);
    outputs["embeddings"] = sentence_embeddings(holder, TokenBatch{field("input_ids"), field("attention_mask"), field("token_type_ids")});
  }
  return outputs;
}

void run(const Json& task) {
  const c10::Device device = task.at("device") == "hpu" ? kDevice : c10::Device(c10::kCPU);
  const std::string kind = task.at("kind"), folder = task.at("folder");
  Batch batch;
  for (const auto& [name, tensor] : load_safetensors(task.at("inputs"))) {
    batch[name] = tensor.to(device);
  }
  const at::AutoGradMode gradients(batch.count("labels") == 1);
  std::optional<Classes> classes;
  if (task.contains("classes")) {
    classes = Classes::of(task["classes"]);
  }
  Tensors outputs;
  if (kind == "bert") {
    outputs = run_bert(task, batch, device);
  } else if (kind == "bert_classifier") {
    outputs = run_model(task, BertForSequenceClassificationImpl::from_pretrained(folder, classes), batch, device);
  } else if (kind == "vit") {
    outputs = run_model(task, ViTForImageClassificationImpl::from_pretrained(folder, classes), batch, device);
  } else {
    outputs = run_model(task, ResNetForImageClassificationImpl::from_pretrained(folder, classes), batch, device);
  }
  for (auto& [name, tensor] : outputs) {
    tensor = tensor.detach().cpu().to(at::kFloat);
  }
  save_safetensors(task.at("outputs"), outputs);
}

}  // namespace

int main(int, char** argv) {
  std::ifstream file(argv[1]);
  for (const Json& task : Json::parse(file)) {
    try {
      run(task);
      std::printf("ok\n");
    } catch (const c10::Error& error) {
      std::printf("%s\n", Json(error.what_without_backtrace()).dump().c_str());
    } catch (const std::exception& error) {
      std::printf("%s\n", Json(error.what()).dump().c_str());
    }
  }
  return 0;
}
