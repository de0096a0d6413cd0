// Trains a GPT-2 folder as a JSON file of arguments says; the twin of transformers' Trainer in test_trainer.py.
// train_gpt2 MODEL_FOLDER DATA.safetensors ARGUMENTS.json [EVAL.safetensors]: data has input_ids, labels [N, T]. Prints the log history as JSON lines on
// stdout behind "LOG ", and writes the final model to output_dir. IDLE_PARAMETER in the environment: the model has a parameter that it does not use.
#include <ATen/ops/ones.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/models/gpt.h>
#include <torch_hpu/trainer.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>

using namespace torch_hpu;

namespace {

// Ends the process as kill -9 does, after so many steps.
struct Killer : TrainerCallback {
  explicit Killer(int64_t step) : step(step) {}
  void on_step_end(const GaudiTrainingArguments&, TrainerState& state, TrainerControl&) override {
    if (state.global_step == step) {
      synchronize();
      kill(getpid(), SIGKILL);
    }
  }
  int64_t step;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    std::ifstream in(argv[3]);
    GaudiTrainingArguments args;
    args.update_from_json({std::istreambuf_iterator<char>(in), {}});
    GPT model(GPTImpl::from_pretrained(argv[1]));
    if (std::getenv("IDLE_PARAMETER") != nullptr) {
      model->register_parameter("idle", at::ones({5}));
    }
    TrainerOptions options;
    options.shift_labels = true;
    options.train_dataset = std::make_shared<SafetensorsDataset>(argv[2]);
    if (argc > 4) {
      options.eval_dataset = std::make_shared<SafetensorsDataset>(argv[4]);
    }
    if (const char* step = std::getenv("KILL_AT_STEP")) {
      options.callbacks.push_back(std::make_shared<Killer>(std::atoll(step)));
    }
    GaudiTrainer trainer(trainer_model(model), GaudiConfig(), args, options);
    const TrainOutput output = trainer.train();
    trainer.save_model();
    for (const Log& log : trainer.state().log_history) {
      std::printf("LOG %s\n", log_to_json(log).c_str());
    }
    std::printf("RESULT %s\n", log_to_json(output.metrics).c_str());
    return 0;
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "%s\n", e.what_without_backtrace());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
  return 1;
}
