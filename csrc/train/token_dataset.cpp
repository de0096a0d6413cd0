// Texts as token numbers in a mapped file: an example touches its own pages only.
#include <torch_hpu/training_data.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_file.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace torch_hpu {
namespace {

constexpr char kTokenMagic[] = {'H', 'P', 'U', 'T', 'O', 'K', 'E', 'N'};
constexpr uint32_t kTokenVersion = 1;
struct TokenHeader {
  char magic[8];
  uint32_t version;
  uint32_t token_bytes;
  uint64_t count;
};
static_assert(sizeof(TokenHeader) == 24 && std::endian::native == std::endian::little);

at::Tensor map_bytes(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  TORCH_CHECK(!error, "[TokenDataset] cannot open ", path, ": ", error.message());
  TORCH_CHECK(size > 0, "[TokenDataset] ", path, " is empty");
  return at::from_file(path, /*shared=*/false, static_cast<int64_t>(size), at::TensorOptions().dtype(at::kByte));
}

const char* dtype_name(c10::ScalarType dtype) {
  return dtype == at::kByte ? "uint8" : dtype == at::kUInt16 ? "uint16" : "uint32";
}

void check_file_dtype(const char* what, c10::ScalarType dtype) {
  TORCH_CHECK_TYPE(dtype == at::kByte || dtype == at::kUInt16 || dtype == at::kUInt32, "[", what, "] dtype of a token file: got ", dtype,
                   ", expected uint8, uint16 or uint32");
}

at::Tensor map_tokens(const std::string& path) {
  const at::Tensor bytes = map_bytes(path);
  TokenHeader header{};
  TORCH_CHECK(bytes.numel() >= 24 && std::memcmp(bytes.const_data_ptr(), kTokenMagic, 8) == 0, "[TokenDataset] ", path,
              " does not begin with a token file's header. If it holds tokens alone, give their dtype");
  std::memcpy(&header, bytes.const_data_ptr(), sizeof(header));
  TORCH_CHECK(header.version == kTokenVersion, "[TokenDataset] ", path, " has version ", header.version, ", expected ", kTokenVersion);
  const uint32_t width = header.token_bytes;
  TORCH_CHECK(width == 1 || width == 2 || width == 4, "[TokenDataset] ", path, ": bytes per token: got ", width, ", expected 1, 2 or 4");
  const auto data = static_cast<uint64_t>(bytes.numel()) - sizeof(header);
  TORCH_CHECK(data % width == 0 && data / width == header.count, "[TokenDataset] ", path, " holds ", data, " bytes of tokens, expected ",
              header.count, " tokens of ", width, " bytes. Is it cut off?");
  return bytes.slice(0, sizeof(header)).view(width == 1 ? at::kByte : width == 2 ? at::kUInt16 : at::kUInt32);
}

at::Tensor map_raw_tokens(const std::string& path, c10::ScalarType dtype) {
  check_file_dtype("TokenDataset", dtype);
  const at::Tensor bytes = map_bytes(path);
  TORCH_CHECK(bytes.numel() < 8 || std::memcmp(bytes.const_data_ptr(), kTokenMagic, 8) != 0, "[TokenDataset] ", path,
              " has a header, which says the dtype: give none");
  TORCH_CHECK(bytes.numel() % static_cast<int64_t>(c10::elementSize(dtype)) == 0, "[TokenDataset] ", path, " has ", bytes.numel(),
              " bytes, which is no whole number of ", dtype_name(dtype), " tokens");
  return bytes.view(dtype);
}

}  // namespace

TokenDataset::TokenDataset(const std::string& path, int64_t block_size) : TokenDataset(map_tokens(path), block_size) {}

TokenDataset::TokenDataset(const std::string& path, int64_t block_size, c10::ScalarType dtype)
    : TokenDataset(map_raw_tokens(path, dtype), block_size) {}

TokenDataset::TokenDataset(const at::Tensor& tokens, int64_t block_size) : tokens_(tokens), block_size_(block_size) {
  TORCH_CHECK_VALUE(block_size > 0, "[TokenDataset] block_size: got ", block_size, ", expected at least 1");
  TORCH_CHECK_VALUE(tokens.defined() && tokens.device().is_cpu() && tokens.dim() == 1,
                    "[TokenDataset] tokens: expected a tensor [N] on the CPU");
  const auto dtype = tokens.scalar_type();
  TORCH_CHECK_TYPE(dtype == at::kByte || dtype == at::kUInt16 || dtype == at::kUInt32 || dtype == at::kInt || dtype == at::kLong,
                   "[TokenDataset] tokens: got dtype ", dtype, ", expected uint8, uint16, uint32, int32 or int64");
  TORCH_CHECK_VALUE(tokens.numel() >= block_size, "[TokenDataset] the text has ", tokens.numel(), " tokens, fewer than one block of ",
                    block_size);
}

int64_t TokenDataset::size() const {
  return tokens_.numel() / block_size_;
}

int64_t TokenDataset::tokens() const {
  return tokens_.numel();
}

at::Tensor TokenDataset::block(c10::IntArrayRef indices) const {
  at::Tensor block = at::empty({static_cast<int64_t>(indices.size()), block_size_}, at::TensorOptions().dtype(at::kLong));
  for (size_t i = 0; i < indices.size(); ++i) {
    TORCH_CHECK_INDEX(indices[i] >= 0 && indices[i] < size(), "[TokenDataset] index: got ", indices[i], ", expected 0 to ", size() - 1);
    block.select(0, static_cast<int64_t>(i)).copy_(tokens_.narrow(0, indices[i] * block_size_, block_size_));
  }
  return block;
}

Example TokenDataset::get(int64_t index) const {
  const at::Tensor ids = block(index).squeeze(0);
  return {{"input_ids", ids}, {"labels", ids.clone()}};
}

std::optional<int64_t> TokenDataset::length(int64_t) const {
  return block_size_;
}

Batch TokenDataset::get_batch(c10::IntArrayRef indices) const {
  const at::Tensor ids = block(indices);
  return {{"input_ids", ids}, {"labels", ids.clone()}};
}

void save_tokens(const std::string& path, const at::Tensor& tokens, c10::ScalarType dtype) {
  check_file_dtype("save_tokens", dtype);
  TORCH_CHECK_VALUE(tokens.defined() && tokens.dim() == 1 && c10::isIntegralType(tokens.scalar_type(), /*includeBool=*/false),
                    "[save_tokens] tokens: expected a tensor [N] of integers");
  const at::Tensor wide = tokens.detach().to(at::TensorOptions().device(at::kCPU).dtype(at::kLong));
  const auto width = static_cast<uint32_t>(c10::elementSize(dtype));
  if (wide.numel() > 0) {
    const int64_t limit = (int64_t{1} << 8 * width) - 1, least = wide.min().item<int64_t>(), most = wide.max().item<int64_t>();
    TORCH_CHECK_VALUE(least >= 0 && most <= limit, "[save_tokens] tokens from ", least, " to ", most, " do not fit ", dtype_name(dtype),
                      ", expected 0 to ", limit);
  }
  const at::Tensor data = wide.to(dtype).contiguous();
  TokenHeader header{{}, kTokenVersion, width, static_cast<uint64_t>(data.numel())};
  std::memcpy(header.magic, kTokenMagic, sizeof(header.magic));
  const std::string partial = path + ".partial";
  {
    std::ofstream out(partial, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&header), sizeof(header));
    out.write(static_cast<const char*>(data.const_data_ptr()), static_cast<std::streamsize>(data.nbytes()));
    out.flush();
    TORCH_CHECK(out.good(), "[save_tokens] cannot write ", partial, ": ", std::strerror(errno));
  }
  TORCH_CHECK(std::rename(partial.c_str(), path.c_str()) == 0, "[save_tokens] cannot rename ", partial, " to ", path, ": ",
              std::strerror(errno));
}

}  // namespace torch_hpu
