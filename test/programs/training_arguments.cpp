// training_arguments [--json TEXT] [--config FILE] OPTIONS...: reads arguments as a program does and prints them as JSON; errors on stderr, status 1.
#include <c10/util/Exception.h>
#include <torch_hpu/gaudi_config.h>
#include <torch_hpu/training_arguments.h>

#include <CLI/CLI.hpp>
#include <cstdio>

int main(int argc, char** argv) {
  torch_hpu::GaudiTrainingArguments args;
  std::string json, config;
  CLI::App app("Training arguments.");
  app.add_option("--json", json);
  app.add_option("--config", config);
  args.add_options(app);
  CLI11_PARSE(app, argc, argv);
  try {
    if (!config.empty()) {
      std::printf("%s\n", torch_hpu::GaudiConfig::from_pretrained(config).to_json().c_str());
      return 0;
    }
    if (!json.empty()) {
      args.update_from_json(json);
    }
    args.validate();
    std::printf("%s\n", args.to_json().c_str());
    return 0;
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "%s\n", e.what_without_backtrace());
    return 1;
  }
}
