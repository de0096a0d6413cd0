// A program linked with the libraries that stand on the device: the trainer trains a line, a scheduler makes a step, a tokenizer reads a word.
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <torch/nn/modules/linear.h>
#include <torch_hpu/clip_tokenizer.h>
#include <torch_hpu/ddim_scheduler.h>
#include <torch_hpu/trainer.h>

#include <iostream>

int main() {
  torch_hpu::GaudiTrainingArguments args;
  args.output_dir = "consumer_run";
  args.overwrite_output_dir = args.use_habana = args.disable_tqdm = true;
  args.max_steps = 30;
  args.learning_rate = 0.1;
  args.save_strategy = "no";
  torch::nn::Linear line(4, 1);
  torch_hpu::TrainerModel model;
  model.module = line.ptr();
  model.forward = [&](const torch_hpu::Batch& batch) {
    const at::Tensor y = line(batch.at("x"));
    return torch_hpu::ModelOutput{at::mse_loss(y, batch.at("labels")), {y}};
  };
  const at::Tensor x = at::randn({64, 4});
  torch_hpu::TrainerOptions options;
  options.train_dataset =
      std::make_shared<torch_hpu::TensorDataset>(std::map<std::string, at::Tensor>{{"x", x}, {"labels", x.sum(1, true)}});
  torch_hpu::GaudiTrainer trainer(model, {}, args, options);
  trainer.train();
  const double loss = at::mse_loss(line(x.to(line->weight.device())), x.sum(1, true).to(line->weight.device())).item<double>();

  const auto scheduler = torch_hpu::GaudiDDIMScheduler::from_config();
  scheduler->set_timesteps(10);
  const auto step = scheduler->step(at::ones({1, 1, 2, 2}), at::ones({1, 1, 2, 2}));
  const auto tokenizer = torch_hpu::CLIPTokenizer::train({"seven", "seven"}, 600);
  const bool good = loss < 0.1 && step.prev_sample.numel() == 4 && tokenizer.tokenize("seven").size() == 1;
  std::cout << "loss " << loss << (good ? ", all is well\n" : ", something is wrong\n");
  return good ? 0 : 1;
}
