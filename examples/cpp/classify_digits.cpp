// The inference binary: loads the model that train_digits saved, replays an HPU Graph, and draws the digits that it read with its answers.
#include <png.h>
#include <torch_hpu/device.h>
#include <torch_hpu/graphed.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/models/conv_net.h>
#include <torch_hpu/models/vit.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "digits.h"

namespace {

constexpr int kCell = 8;  // pixels of a digit

// Digits in rows of text, eight pixels wide, with "read (true)" below each.
void draw_text(const torch::Tensor& images, const torch::Tensor& read, const torch::Tensor& labels) {
  const char shades[] = " .:-=+*#%@";
  constexpr int64_t kPerRow = 8;
  for (int64_t first = 0; first < images.size(0); first += kPerRow) {
    const int64_t n = std::min(kPerRow, images.size(0) - first);
    for (int y = 0; y < kCell; ++y) {
      for (int64_t i = 0; i < n; ++i) {
        for (int x = 0; x < kCell; ++x) {
          std::putchar(shades[static_cast<int>(images[first + i][0][y][x].item<float>() * 9.0f)]);
        }
        std::fputs("  ", stdout);
      }
      std::putchar('\n');
    }
    for (int64_t i = 0; i < n; ++i) {
      const auto answer = read[first + i].item<int64_t>(), truth = labels[first + i].item<int64_t>();
      std::printf("%s%ld%*s", answer == truth ? "  is " : "NOT ", answer, answer == truth ? 4 : 5, "");
    }
    std::puts("\n");
  }
}

// A grid of the digits, enlarged; wrong answers on red ground.
void draw_png(const std::string& path, const torch::Tensor& images, const torch::Tensor& read, const torch::Tensor& labels) {
  constexpr int kScale = 6, kBorder = 2, kColumns = 16, kTile = kCell * kScale + 2 * kBorder;
  const int rows = static_cast<int>((images.size(0) + kColumns - 1) / kColumns);
  const int width = kColumns * kTile, height = rows * kTile;
  std::vector<unsigned char> pixels(static_cast<size_t>(width) * height * 3, 255);
  for (int64_t i = 0; i < images.size(0); ++i) {
    const bool right = read[i].item<int64_t>() == labels[i].item<int64_t>();
    const int left = static_cast<int>(i % kColumns) * kTile, top = static_cast<int>(i / kColumns) * kTile;
    for (int y = 0; y < kTile; ++y) {
      for (int x = 0; x < kTile; ++x) {
        unsigned char* p = &pixels[(static_cast<size_t>(top + y) * width + left + x) * 3];
        const int u = (x - kBorder) / kScale, v = (y - kBorder) / kScale;
        const bool inside = x >= kBorder && y >= kBorder && u < kCell && v < kCell;
        const auto ink = static_cast<unsigned char>(inside ? 255 - 255 * images[i][0][v][u].item<float>() : 255);
        p[0] = right ? ink : 255;
        p[1] = p[2] = right ? ink : static_cast<unsigned char>(ink / 2);
      }
    }
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  TORCH_CHECK(png_image_write_to_file(&image, path.c_str(), 0, pixels.data(), 0, nullptr), "cannot write ", path, ": ", image.message);
}

// What config.json says.
std::string model_type(const std::string& folder) {
  std::ifstream file(folder + "/config.json");
  TORCH_CHECK(file, "there is no ", folder, "/config.json: make a model with train_digits");
  const auto config = nlohmann::json::parse(file);
  return config.value("model_type", "");
}

using Reader = std::function<torch::Tensor(const torch::Tensor&)>;  // pixel values -> scores [N, 10]

template <typename Model>
Reader load(const std::string& folder) {
  const auto model = Model::from_pretrained(folder);
  model->eval();
  model->to(torch_hpu::kDevice);
  return [model](const torch::Tensor& pixels) { return model->logits(pixels); };
}

}  // namespace

int main(int argc, char** argv) {
  std::string data = "examples/data/digits.safetensors", folder = "build/digits", png;
  int count = 64, draw = 16;
  CLI::App app("Reads handwritten digits with a trained model, by HPU Graph.");
  app.add_option("--data", data, "digits file")->capture_default_str();
  app.add_option("--model,--weights", folder, "folder written by train_digits")->capture_default_str();
  app.add_option("--count", count, "digits to read")->check(CLI::Range(1, 364))->capture_default_str();
  app.add_option("--draw", draw, "of these, digits to draw as text")->capture_default_str();
  app.add_option("--png", png, "draw all of them into this file");
  CLI11_PARSE(app, argc, argv);
  try {
    const Digits digits = load_digits(data);
    const std::string type = model_type(folder);
    TORCH_CHECK(type == "vit" || type == "resnet", folder, "/config.json: model_type: got '", type, "', expected vit or resnet");
    const torch::NoGradGuard no_grad;
    auto graphed = torch_hpu::wrap_in_hpu_graph(type == "vit" ? load<torch_hpu::ViTForImageClassificationImpl>(folder)
                                                              : load<torch_hpu::ResNetForImageClassificationImpl>(folder));
    const auto images = digits.test_images.slice(0, 0, count), labels = digits.test_labels.slice(0, 0, count);
    const auto on_device = pixel_values(type, images).to(torch_hpu::kDevice);
    const auto read = graphed(on_device).argmax(1).to(torch::kCPU);

    constexpr int kReplays = 50;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kReplays; ++i) {
      graphed(on_device).sum().item<float>();
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kReplays;

    draw_text(images.slice(0, 0, draw), read, labels);
    const auto correct = read.eq(labels).sum().item<int64_t>();
    std::printf("%ld of %d digits read right; %.3f ms per replay of %d digits; compilations %lu, graph replays %lu\n", correct, count,
                seconds * 1e3, count, torch_hpu::metrics_snapshot().at("compilations"), torch_hpu::metrics_snapshot().at("graph_replays"));
    if (!png.empty()) {
      draw_png(png, images, read, labels);
      std::printf("drawn: %s\n", png.c_str());
    }
    return 0;
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "classify_digits: %s\n", error.what_without_backtrace());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify_digits: %s\n", error.what());
  }
  return 1;
}
