#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <png.h>
#include <torch_hpu/diffusion_images.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

namespace torch_hpu {

at::Tensor to_image_arrays(const at::Tensor& decoded) {
  TORCH_CHECK(decoded.dim() == 4 && decoded.size(1) == 3, "decoded images have a wrong shape: got ", decoded.sizes(),
              ", expected [N, 3, H, W]");
  return (decoded.detach().to(at::kCPU, at::kFloat) * 0.5 + 0.5).clamp(0, 1).permute({0, 2, 3, 1}).contiguous();
}

at::Tensor to_images(const at::Tensor& decoded) {
  return (to_image_arrays(decoded) * 255).round().to(at::kByte);
}

at::Tensor image_grid(const at::Tensor& images, int64_t columns) {
  TORCH_CHECK(images.dim() == 4 && images.size(3) == 3 && images.size(0) > 0 && images.scalar_type() == at::kByte,
              "images for a grid do not fit: got ", images.scalar_type(), " ", images.sizes(), ", expected Byte [N, H, W, 3] with N > 0");
  TORCH_CHECK(columns >= 0, "number of grid columns is negative: got ", columns);
  const int64_t n = images.size(0), height = images.size(1), width = images.size(2);
  if (columns == 0) {
    columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(n))));
  }
  columns = std::min(columns, n);
  const int64_t rows = (n + columns - 1) / columns;
  const at::Tensor source = images.to(at::kCPU);
  at::Tensor grid = at::zeros({rows * height, columns * width, 3}, at::kByte);
  for (int64_t i = 0; i < n; ++i) {
    grid.narrow(0, i / columns * height, height).narrow(1, i % columns * width, width).copy_(source[i]);
  }
  return grid;
}

void save_png(const std::string& path, const at::Tensor& image) {
  TORCH_CHECK(image.dim() == 3 && image.size(2) == 3 && image.numel() > 0 && image.scalar_type() == at::kByte,
              "image for a PNG file does not fit: got ", image.scalar_type(), " ", image.sizes(), ", expected Byte [H, W, 3]");
  constexpr int64_t kMaxSide = 1'000'000;  // libpng's own limit
  TORCH_CHECK(image.size(0) <= kMaxSide && image.size(1) <= kMaxSide, "image for a PNG file is too large: got ", image.sizes(),
              ", expected sides of at most ", kMaxSide);
  const at::Tensor pixels = image.to(at::kCPU).contiguous();
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(pixels.size(1));
  header.height = static_cast<png_uint_32>(pixels.size(0));
  header.format = PNG_FORMAT_RGB;
  const std::string partial = path + "." + std::to_string(getpid()) + ".part";
  const bool written = png_image_write_to_file(&header, partial.c_str(), 0, pixels.const_data_ptr<uint8_t>(), 0, nullptr) != 0;
  std::error_code error;
  if (written) {
    std::filesystem::rename(partial, path, error);
  }
  if (!written || error) {
    const std::string reason = written ? error.message() : header.message;
    std::filesystem::remove(partial, error);
    TORCH_CHECK(false, "PNG file ", path, " cannot be written: ", reason);
  }
}

at::Tensor load_png(const std::string& path) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  TORCH_CHECK(png_image_begin_read_from_file(&header, path.c_str()) != 0, "PNG file ", path, " cannot be read: ", header.message);
  header.format = PNG_FORMAT_RGB;
  at::Tensor image = at::empty({header.height, header.width, 3}, at::kByte);
  const png_color white{255, 255, 255};
  const bool read = png_image_finish_read(&header, &white, image.mutable_data_ptr<uint8_t>(), 0, nullptr) != 0;
  TORCH_CHECK(read, "PNG file ", path, " cannot be read: ", header.message);
  return image;
}

}  // namespace torch_hpu
