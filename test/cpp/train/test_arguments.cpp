// GaudiTrainingArguments: JSON and the command line, there and back, what follows from them, and what they refuse.
// test/error/test_training_arguments.py has a row for every error.
#include <torch_hpu/device.h>
#include <torch_hpu/training_arguments.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "test/cpp/train/train_test.h"

namespace {

using torch_hpu::GaudiTrainingArguments;
using torch_hpu::test::throws;

struct Arguments : torch_hpu::test::InFolder {};

GaudiTrainingArguments from_words(std::vector<std::string> words) {
  GaudiTrainingArguments args;
  CLI::App app;
  args.add_options(app);
  std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
  app.parse(words);
  return args;
}

TEST_F(Arguments, DefaultsAreTheOriginals) {
  const auto json = nlohmann::json::parse(GaudiTrainingArguments().to_json());
  const nlohmann::json expected = {{"num_train_epochs", 3.0},
                                   {"max_steps", -1},
                                   {"per_device_train_batch_size", 8},
                                   {"gradient_accumulation_steps", 1},
                                   {"learning_rate", 5e-5},
                                   {"adam_beta1", 0.9},
                                   {"adam_beta2", 0.999},
                                   {"adam_epsilon", 1e-6},
                                   {"max_grad_norm", 1.0},
                                   {"seed", 42},
                                   {"lr_scheduler_type", "linear"},
                                   {"logging_steps", 500.0},
                                   {"save_strategy", "steps"},
                                   {"save_steps", 500.0},
                                   {"eval_strategy", "no"},
                                   {"eval_steps", nullptr},
                                   {"use_habana", false},
                                   {"use_lazy_mode", true},
                                   {"distribution_strategy", "ddp"},
                                   {"throughput_warmup_steps", 0},
                                   {"max_hpu_graphs", nullptr}};
  for (const auto& [name, value] : expected.items()) {
    EXPECT_EQ(json.at(name), value) << name;
  }
}

// Every field through JSON: a value of its kind that is not the default arrives, and nothing else changes.
TEST_F(Arguments, EveryFieldComesBackFromJson) {
  const auto defaults = nlohmann::ordered_json::parse(GaudiTrainingArguments().to_json());
  EXPECT_GT(defaults.size(), 60u);
  for (const auto& [name, value] : defaults.items()) {
    nlohmann::json other = value.is_boolean()          ? nlohmann::json(!value.get<bool>())
                           : value.is_number_integer() ? nlohmann::json(value.get<int64_t>() + 7)
                           : value.is_number()         ? nlohmann::json(value.get<double>() + 0.125)
                           : value.is_string()         ? nlohmann::json("ä \"quoted\"")
                           : value.is_object()         ? nlohmann::json{{"power", 2.5}}
                                                       : nlohmann::json();
    if (value.is_null()) {  // an optional one, of any kind
      for (const nlohmann::json& candidate : {nlohmann::json("text"), nlohmann::json(3), nlohmann::json(true)}) {
        try {
          GaudiTrainingArguments().update_from_json(nlohmann::json{{name, candidate}}.dump());
          other = candidate;
          break;
        } catch (const c10::Error&) {
        }
      }
    }
    GaudiTrainingArguments args;
    args.update_from_json(nlohmann::json{{name, other}}.dump());
    auto expected = defaults;
    expected[name] = other;
    EXPECT_EQ(nlohmann::json::parse(args.to_json()), nlohmann::json(expected)) << name;
    args.save(path("training_args.json"));
    GaudiTrainingArguments again;
    again.update_from_json(read(path("training_args.json")));
    EXPECT_EQ(again.to_json(), args.to_json()) << name;
    if (value.is_null()) {
      args.update_from_json(nlohmann::json{{name, nullptr}}.dump());
      EXPECT_EQ(args.to_json(), GaudiTrainingArguments().to_json()) << name;
    }
  }
}

TEST_F(Arguments, CommandLine) {
  const GaudiTrainingArguments args = from_words({"--output_dir",
                                                  "a b",
                                                  "--bf16",
                                                  "--no_use_lazy_mode",
                                                  "--group_by_length",
                                                  "False",
                                                  "--use_cpu",
                                                  "yes",
                                                  "--max_steps=12",
                                                  "--learning_rate",
                                                  "1e-3",
                                                  "--warmup_ratio",
                                                  "1",
                                                  "--data_seed",
                                                  "5",
                                                  "--run_name",
                                                  "None",
                                                  "--save_steps",
                                                  "0.25",
                                                  "--lr_scheduler_kwargs",
                                                  R"({"num_cycles": 2})",
                                                  "--logging_dir",
                                                  "7",
                                                  "--greater_is_better",
                                                  "true"});
  EXPECT_EQ(args.output_dir, "a b");
  EXPECT_TRUE(args.bf16 && args.use_cpu && !args.use_lazy_mode && !args.group_by_length);
  EXPECT_EQ(args.max_steps, 12);
  EXPECT_EQ(args.learning_rate, 1e-3);
  EXPECT_EQ(args.warmup_ratio, 1.0);
  EXPECT_EQ(args.data_seed, 5);
  EXPECT_FALSE(args.run_name);
  EXPECT_EQ(args.save_steps, 0.25);
  EXPECT_EQ(args.lr_scheduler_kwargs.at("num_cycles"), 2);
  EXPECT_EQ(args.logging_dir, "7");
  EXPECT_EQ(args.greater_is_better, true);
  EXPECT_EQ(from_words({}).to_json(), GaudiTrainingArguments().to_json());
  EXPECT_THROW(from_words({"--max_steps", "x"}), CLI::ValidationError);
  EXPECT_THROW(from_words({"--max_steps", "1.5"}), CLI::ValidationError);
  EXPECT_THROW(from_words({"--seed", "None"}), CLI::ValidationError);
  EXPECT_THROW(from_words({"--bf16", "perhaps"}), CLI::ValidationError);
  EXPECT_THROW(from_words({"--bf17"}), CLI::ExtrasError);
  GaudiTrainingArguments with_defaults;  // of a program
  with_defaults.learning_rate = 0.5;
  CLI::App app;
  with_defaults.add_options(app);
  EXPECT_NE(app.help().find("--learning_rate 0.5"), std::string::npos);
  app.parse(std::vector<std::string>{});
  EXPECT_EQ(with_defaults.learning_rate, 0.5);
}

TEST_F(Arguments, LoadValidates) {
  GaudiTrainingArguments args;
  args.use_habana = true;
  args.save(path("good.json"));
  EXPECT_EQ(GaudiTrainingArguments::load(path("good.json")).to_json(), args.to_json());
  args.max_steps = 0;
  args.save(path("bad.json"));
  EXPECT_TRUE(throws([&] { GaudiTrainingArguments::load(path("bad.json")); }, "max_steps: got 0, expected 1 or more, or -1 for none"));
  EXPECT_TRUE(throws([&] { GaudiTrainingArguments::load(path("none.json")); }, "[GaudiTrainingArguments] cannot open"));
  write("text.json", "{\"seed\": }");
  EXPECT_TRUE(throws([&] { GaudiTrainingArguments::load(path("text.json")); }, "(in " + path("text.json") + ")"));
  EXPECT_TRUE(throws([&] { args.save(path("no/such/folder/args.json")); }, "cannot write"));
}

TEST_F(Arguments, WrongFieldsChangeNothing) {
  GaudiTrainingArguments args;
  const auto update = [&](const std::string& json) { return [&args, json] { args.update_from_json(json); }; };
  EXPECT_TRUE(throws(update(R"({"seed": 3, "learning_rat": 1})"), "unknown argument 'learning_rat'; did you mean 'learning_rate'?"));
  EXPECT_EQ(args.seed, 42);
  EXPECT_TRUE(throws(update(R"({"seed": 3, "bf16": "x"})"), "bf16: got \"x\", expected true or false"));
  EXPECT_EQ(args.seed, 42);
  EXPECT_TRUE(throws(update(R"({"fp16": true})"), "fp16 is not supported: use bf16 on this device"));
  EXPECT_TRUE(throws(update(R"({"lr_scheduler_kwargs": {"a": 1, "b": "c"}})"), "lr_scheduler_kwargs.b: got \"c\", expected a number"));
  EXPECT_TRUE(args.lr_scheduler_kwargs.empty());
  EXPECT_NO_THROW(args.update_from_json(R"({"fp16": false, "deepspeed": null, "context_parallel_size": 1})"));
}

TEST_F(Arguments, NumbersThatAreNone) {
  GaudiTrainingArguments args;
  args.use_habana = true;
  args.validate();
  for (double GaudiTrainingArguments::* member :
       {&GaudiTrainingArguments::learning_rate, &GaudiTrainingArguments::weight_decay, &GaudiTrainingArguments::num_train_epochs,
        &GaudiTrainingArguments::max_grad_norm, &GaudiTrainingArguments::adam_beta1, &GaudiTrainingArguments::adam_epsilon,
        &GaudiTrainingArguments::warmup_ratio, &GaudiTrainingArguments::label_smoothing_factor, &GaudiTrainingArguments::logging_steps,
        &GaudiTrainingArguments::save_steps, &GaudiTrainingArguments::eval_delay}) {
    for (const double value : {std::nan(""), -1.0, HUGE_VAL}) {
      GaudiTrainingArguments bad = args;
      bad.*member = value;
      EXPECT_TRUE(throws([&] { bad.validate(); }, "expected")) << value;
    }
  }
}

TEST_F(Arguments, WhatFollows) {
  GaudiTrainingArguments args;
  EXPECT_EQ(args.device(), c10::Device(c10::kCPU));
  args.use_habana = true;
  EXPECT_EQ(args.device(), torch_hpu::kDevice);
  EXPECT_EQ(args.steps(10, 200), 10);
  EXPECT_EQ(args.steps(0.1, 25), 3);  // rounded up
  EXPECT_EQ(args.steps(0.001, 25), 1);
  args.warmup_ratio = 0.1;
  EXPECT_EQ(args.warmup_steps_of(25), 3);
  args.warmup_steps = 7;
  EXPECT_EQ(args.warmup_steps_of(25), 7);
  EXPECT_EQ(args.best_metric(), "eval_loss");
  EXPECT_FALSE(args.best_is_greatest());
  args.metric_for_best_model = "accuracy";
  EXPECT_EQ(args.best_metric(), "eval_accuracy");
  EXPECT_TRUE(args.best_is_greatest());
  args.greater_is_better = false;
  EXPECT_FALSE(args.best_is_greatest());
  EXPECT_FALSE(args.uses_hpu_graphs());
  args.use_hpu_graphs = true;
  EXPECT_TRUE(args.uses_hpu_graphs());
}

}  // namespace
