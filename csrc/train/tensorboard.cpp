// TensorBoard's event files, by hand. A file is a series of records: length (8 bytes), masked CRC32C of the length, data, masked CRC32C of the
// data, all little-endian. The data is a protobuf Event: the few fields that are needed are encoded here.
#include <torch_hpu/training_log.h>

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace torch_hpu {
namespace {

// ---- CRC32C (Castagnoli), reflected

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    table[i] = crc;
  }
  return table;
}

uint32_t masked_crc(const std::string& data) {
  static constexpr auto kTable = crc_table();
  uint32_t crc = 0xffffffff;
  for (const char c : data) {
    crc = crc >> 8 ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8;
}

// ---- protobuf's wire format

template <typename T>
std::string fixed(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
static_assert(std::endian::native == std::endian::little);

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) {
    bytes += static_cast<char>(value | 0x80);
  }
  return bytes + static_cast<char>(value);
}

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

std::string key(uint32_t field, WireType type) {
  return varint(field << 3 | type);
}

std::string number(uint32_t field, uint64_t value) {
  return key(field, kVarint) + varint(value);
}

std::string bytes(uint32_t field, const std::string& value) {
  return key(field, kLengthDelimited) + varint(value.size()) + value;
}

// ---- the messages: field numbers of tensorflow's event.proto, summary.proto, tensor.proto and tensor_shape.proto

constexpr uint64_t kDtString = 7;

std::string event(int64_t step, const std::string& rest) {
  const double wall_time = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return key(1, kFixed64) + fixed(wall_time) + number(2, static_cast<uint64_t>(step)) + rest;
}

std::string scalar_event(const std::string& tag, double value, int64_t step) {
  const std::string summary_value = bytes(1, tag) + key(2, kFixed32) + fixed(static_cast<float>(value));
  return event(step, bytes(5, bytes(1, summary_value)));
}

std::string text_event(const std::string& tag, const std::string& text, int64_t step) {
  const std::string plugin = bytes(1, bytes(1, "text"));  // SummaryMetadata.plugin_data.plugin_name
  const std::string tensor = number(1, kDtString) + bytes(2, bytes(2, number(1, 1))) + bytes(8, text);  // [1]
  return event(step, bytes(5, bytes(1, bytes(1, tag) + bytes(9, plugin) + bytes(8, tensor))));
}

std::string event_file_name() {
  static std::atomic<int> count{0};
  char host[256] = "localhost";
  ::gethostname(host, sizeof(host) - 1);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return "events.out.tfevents." + std::to_string(seconds) + "." + host + "." + std::to_string(::getpid()) + "." + std::to_string(count++);
}

bool begins_with(const std::string& text, const char* prefix) {
  return text.rfind(prefix, 0) == 0;
}

std::string transformers_tag(const std::string& name) {
  return begins_with(name, "eval_") ? "eval/" + name.substr(5) : begins_with(name, "test_") ? "test/" + name.substr(5) : "train/" + name;
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  TORCH_CHECK(!error, "[TensorBoardWriter] cannot make the folder ", folder, ": ", error.message());
  path_ = (std::filesystem::path(folder) / event_file_name()).string();
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  TORCH_CHECK(file_ >= 0, "[TensorBoardWriter] cannot open ", path_, ": ", std::strerror(errno));
  write_record(event(0, bytes(3, "brain.Event:2")));  // file_version
  flush();
}

TensorBoardWriter::~TensorBoardWriter() {
  try {
    flush();
  } catch (const std::exception& error) {
    TORCH_WARN(error.what());
  }
  ::close(file_);
}

void TensorBoardWriter::write_record(const std::string& data) {
  const std::string length = fixed(static_cast<uint64_t>(data.size()));
  pending_ += length + fixed(masked_crc(length)) + data + fixed(masked_crc(data));
}

void TensorBoardWriter::add_scalar(const std::string& tag, double value, int64_t step) {
  write_record(scalar_event(tag, value, step));
}

void TensorBoardWriter::add_text(const std::string& tag, const std::string& markdown, int64_t step) {
  write_record(text_event(tag + "/text_summary", markdown, step));
  flush();
}

void TensorBoardWriter::add_log(const Log& log, int64_t step) {
  for (const auto& [name, value] : log) {
    if (std::holds_alternative<double>(value) || std::holds_alternative<int64_t>(value) || std::holds_alternative<bool>(value)) {
      add_scalar(transformers_tag(name), log.number(name), step);
    }
  }
  flush();
}

void TensorBoardWriter::flush() {
  size_t done = 0;
  while (done < pending_.size()) {
    const ssize_t n = ::write(file_, pending_.data() + done, pending_.size() - done);
    if (n < 0 && errno != EINTR) {
      const int error = errno;
      pending_.erase(0, done);
      TORCH_CHECK(false, "[TensorBoardWriter] cannot write ", path_, ": ", std::strerror(error));
    }
    done += n > 0 ? static_cast<size_t>(n) : 0;
  }
  pending_.clear();
}

const std::string& TensorBoardWriter::path() const {
  return path_;
}

}  // namespace torch_hpu
