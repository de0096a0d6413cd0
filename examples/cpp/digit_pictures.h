// Real handwritten digits as pictures with a style, and the prompts that describe them.
#pragma once

#include <ATen/Functions.h>
#include <torch_hpu/safetensors.h>

#include <array>
#include <string>
#include <vector>

struct DigitStyle {
  int digit = 0;
  int weight = 0;  // of the strokes: -1 thin, 0, 1 bold
  int slant = 0;   // -1 left, 0, 1 right
  bool inverted = false;
};

inline constexpr int kStyles = 18;  // of each digit
inline constexpr int64_t kPictureSize = 32;

inline DigitStyle style_of(int number, int digit) {  // number: 0 to kStyles - 1
  return {digit, number % 3 - 1, number / 3 % 3 - 1, number >= 9};
}

// "a bold handwritten seven, slanted left, inverted"; or with the digit as a number.
inline std::string describe(const DigitStyle& style, bool as_word = true) {
  static constexpr std::array kWords = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"};
  std::string text = style.weight < 0 ? "a thin handwritten " : style.weight > 0 ? "a bold handwritten " : "a handwritten ";
  text += as_word ? kWords.at(static_cast<size_t>(style.digit)) : std::to_string(style.digit);
  text += style.slant < 0 ? ", slanted left" : style.slant > 0 ? ", slanted right" : "";
  return text + (style.inverted ? ", inverted" : "");
}

// Of every style of every digit: that of style s of digit d at d * kStyles + s; then the same with digits as numbers.
inline std::vector<std::string> all_prompts() {
  std::vector<std::string> prompts;
  for (const bool as_word : {true, false}) {
    for (int digit = 0; digit < 10; ++digit) {
      for (int number = 0; number < kStyles; ++number) {
        prompts.push_back(describe(style_of(number, digit), as_word));
      }
    }
  }
  return prompts;
}

// Scanned digits [N, 1, 8, 8] in [0, 1], white on black -> pictures [N, 1, 32, 32] in [0, 1]. Everything of the style but its digit is drawn: the
// weight as the brightness from which on something is a stroke, the slant as a shear.
inline at::Tensor draw(const at::Tensor& digits, const DigitStyle& style) {
  constexpr std::array<int64_t, 2> kSize = {kPictureSize, kPictureSize};
  constexpr double kMargin = 1.2, kShear = 0.4, kSharpness = 18;
  at::Tensor pictures = at::upsample_bicubic2d(digits, kSize, /*align_corners=*/false);
  const at::Tensor shear = at::tensor({kMargin, kMargin * kShear * style.slant, 0.0, 0.0, kMargin, 0.0}, at::kFloat).view({1, 2, 3});
  const at::Tensor grid = at::affine_grid_generator(shear.expand({digits.size(0), 2, 3}), pictures.sizes(), /*align_corners=*/false);
  pictures = at::grid_sampler(pictures, grid, /*interpolation_mode: bilinear*/ 0, /*padding_mode: zeros*/ 0, /*align_corners=*/false);
  if (style.weight > 0) {
    pictures = (pictures + at::max_pool2d(pictures, {3, 3}, {1, 1}, {1, 1})) / 2;
  }
  const double threshold = style.weight < 0 ? 0.62 : style.weight > 0 ? 0.34 : 0.42;
  pictures = at::sigmoid((pictures - threshold) * kSharpness);
  return style.inverted ? 1 - pictures : pictures;
}

struct ScannedDigits {
  at::Tensor images;  // [N, 1, 8, 8] in [0, 1]
  at::Tensor labels;  // [N] int64
};

// Of the file that tools/make_digits.py makes; split: "train" or "test".
inline ScannedDigits scanned_digits(const std::string& path, const std::string& split) {
  const auto file = torch_hpu::load_safetensors(path);
  for (const std::string& name : {std::string("images"), std::string("labels"), split}) {
    TORCH_CHECK(file.count(name) == 1, path, " has no tensor '", name, "'; make the file with tools/make_digits.py");
  }
  const at::Tensor images = file.at("images").unsqueeze(1).to(at::kFloat);
  return {(images / images.max()).index_select(0, file.at(split)), file.at("labels").index_select(0, file.at(split))};
}
