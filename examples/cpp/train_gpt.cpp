// A character-level GPT learns a text (by default the licence texts that Debian ships) with GaudiTrainer, and then writes some of its own, one character
// per replay of an HPU Graph.
#include <torch_hpu/lazy.h>
#include <torch_hpu/models/gpt.h>
#include <torch_hpu/trainer.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace {

namespace fs = std::filesystem;

// The file, or all files of the folder one behind the other, by name.
std::string read_text(const std::string& path) {
  std::vector<fs::path> files{path};
  if (fs::is_directory(path)) {
    files.clear();
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.is_regular_file() && !entry.is_symlink()) {
        files.push_back(entry.path());
      }
    }
    std::sort(files.begin(), files.end());
  }
  std::string text;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    TORCH_CHECK(in.good(), "cannot open ", file.string());
    text.append(std::istreambuf_iterator<char>(in), {});
  }
  return text;
}

// The bytes that occur, numbered in their order.
struct Alphabet {
  std::string characters;
  std::array<int64_t, 256> number{};

  explicit Alphabet(const std::string& text) {
    std::array<bool, 256> seen{};
    for (unsigned char c : text) {
      seen[c] = true;
    }
    for (int c = 0; c < 256; ++c) {
      if (seen[c]) {
        number[c] = static_cast<int64_t>(characters.size());
        characters.push_back(static_cast<char>(c));
      }
    }
  }
  torch::Tensor encode(const std::string& text) const {
    std::vector<int64_t> numbers;
    for (unsigned char c : text) {
      numbers.push_back(number[c]);
    }
    return torch::tensor(numbers);
  }
  std::string decode(const torch::Tensor& tokens) const {
    std::string text;
    for (int64_t i = 0; i < tokens.numel(); ++i) {
      text.push_back(characters[static_cast<size_t>(tokens[i].item<int64_t>())]);
    }
    return text;
  }
};

}  // namespace

int main(int argc, char** argv) {
  torch_hpu::GaudiTrainingArguments args;
  args.output_dir = "build/gpt";
  args.overwrite_output_dir = true;
  args.use_habana = true;
  args.max_steps = 1400;
  args.per_device_train_batch_size = 16;
  args.per_device_eval_batch_size = 64;
  args.learning_rate = 2e-3;
  args.lr_scheduler_type = "cosine";
  args.warmup_steps = 50;
  args.weight_decay = 0.1;
  args.adam_beta2 = 0.99;
  args.logging_steps = 50;
  args.eval_strategy = "steps";
  args.eval_steps = 350;
  args.save_steps = 350;
  args.save_total_limit = 2;
  args.prediction_loss_only = true;
  torch_hpu::GPTConfig config;
  config.n_positions = 128;
  config.n_embd = 256;
  config.n_layer = 4;
  config.n_head = 4;
  config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.1;
  std::string text_path = "/usr/share/common-licenses", prompt = "This License ";
  torch_hpu::GenerateOptions sampling;
  sampling.max_new_tokens = 110;
  sampling.temperature = 0.8;
  sampling.top_k = 20;

  CLI::App app("Trains a character-level GPT on a text, then lets it write.");
  app.add_option("--text", text_path, "file, or folder of files")->capture_default_str();
  app.add_option("--layers", config.n_layer)->capture_default_str();
  app.add_option("--width", config.n_embd)->capture_default_str();
  app.add_option("--heads", config.n_head)->capture_default_str();
  app.add_option("--context", config.n_positions, "characters that the model sees")->capture_default_str();
  app.add_option("--prompt", prompt, "what the written text begins with")->capture_default_str();
  app.add_option("--characters", sampling.max_new_tokens, "how many to write")->capture_default_str();
  app.add_option("--temperature", sampling.temperature)->capture_default_str();
  args.add_options(app);
  CLI11_PARSE(app, argc, argv);
  try {
    if (args.use_cpu) {
      args.use_habana = args.use_lazy_mode = false;
    }
    if (std::getenv("TORCH_HPU_TIER") == nullptr) {
      torch_hpu::set_option("tier", "compiled");  // compile in the first step, so that warm-up and steady state can be told apart
    }
    const std::string text = read_text(text_path);
    const Alphabet alphabet(text);
    config.vocab_size = static_cast<int64_t>(alphabet.characters.size());
    const torch::Tensor tokens = alphabet.encode(text);
    TORCH_CHECK(tokens.numel() > 20 * config.n_positions, "the text has ", tokens.numel(), " characters, expected more than ",
                20 * config.n_positions);
    TORCH_CHECK(!prompt.empty(), "--prompt: got no characters, expected at least 1");
    TORCH_CHECK(static_cast<int64_t>(prompt.size()) < config.n_positions, "--prompt: got ", prompt.size(),
                " characters, expected fewer than the context of ", config.n_positions);
    for (const char c : prompt) {
      TORCH_CHECK(alphabet.characters.find(c) != std::string::npos, "--prompt: the byte ", static_cast<int>(static_cast<unsigned char>(c)),
                  " is not in the text");
    }
    const auto gaudi_config =
        args.gaudi_config_name ? torch_hpu::GaudiConfig::from_pretrained(*args.gaudi_config_name) : torch_hpu::GaudiConfig();
    const int64_t split = tokens.numel() * 9 / 10;
    torch_hpu::TrainerOptions options;
    options.train_dataset = std::make_shared<torch_hpu::TokenDataset>(tokens.narrow(0, 0, split), config.n_positions);
    options.eval_dataset = std::make_shared<torch_hpu::TokenDataset>(tokens.narrow(0, split, tokens.numel() - split), config.n_positions);
    options.shift_labels = true;

    torch::manual_seed(static_cast<uint64_t>(args.seed));
    torch_hpu::GPT model(config);
    int64_t parameters = 0;
    for (const torch::Tensor& p : model->parameters()) {
      parameters += p.numel();
    }
    std::printf("%ld characters of %ld kinds in %s; a GPT of %ld parameters\n", tokens.numel(), config.vocab_size, text_path.c_str(),
                parameters - config.vocab_size * config.n_embd);  // the tied weight counts once
    torch_hpu::GaudiTrainer trainer(torch_hpu::trainer_model(model), gaudi_config, args, options);
    const auto trained = trainer.train();
    trainer.save_model();
    std::printf("trained %ld steps: training loss %.4f nats per character; %.2f steps/s\n", trained.global_step, trained.training_loss,
                trained.metrics.number("train_steps_per_second"));
    if (args.eval_strategy != "no") {
      std::printf("validation loss %.4f nats per character\n", trainer.evaluate().number("eval_loss"));
    }

    sampling.max_new_tokens = std::min(sampling.max_new_tokens, config.n_positions - static_cast<int64_t>(prompt.size()));
    const auto start = std::chrono::steady_clock::now();
    const torch::Tensor written = torch_hpu::generate(model, alphabet.encode(prompt).unsqueeze(0), sampling);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("\n%s\n\n%ld characters in %.2f s; model, checkpoints and logs are in %s\n", alphabet.decode(written[0]).c_str(),
                sampling.max_new_tokens, seconds, args.output_dir.c_str());
    return 0;
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "%s\n", e.what_without_backtrace());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
  return 1;
}
