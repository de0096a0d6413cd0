#include "csrc/train/files.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace torch_hpu::train {

bool write_all(int file, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(file, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) {
      return false;
    }
    done += n > 0 ? static_cast<size_t>(n) : 0;
  }
  return true;
}

void write_atomically(const std::string& path, const std::string& text, const char* what) {
  const std::string partial = path + ".partial";
  const int file = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  TORCH_CHECK(file >= 0, "[", what, "] cannot write ", partial, ": ", std::strerror(errno));
  const bool written = write_all(file, text) && ::fsync(file) == 0;
  const int error = errno;
  ::close(file);
  TORCH_CHECK(written, "[", what, "] cannot write ", partial, ": ", std::strerror(error));
  TORCH_CHECK(std::rename(partial.c_str(), path.c_str()) == 0, "[", what, "] cannot rename ", partial, " to ", path, ": ",
              std::strerror(errno));
  sync_folder(std::filesystem::path(path).parent_path().string());
}

void sync_folder(const std::string& path) {
  const int folder = ::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {  // where folders cannot be synchronised, a rename is as safe as it can be
    ::fsync(folder);
    ::close(folder);
  }
}

void make_folder(const std::string& path, const char* what) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && !std::filesystem::is_directory(path, error) && !error) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  TORCH_CHECK(!error, "[", what, "] cannot make the folder ", path, ": ", error.message());
}

std::string read_file(const std::string& path, const char* what) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  TORCH_CHECK(in.good(), "[", what, "] cannot open ", path, errno == 0 ? "" : ": ", errno == 0 ? "" : std::strerror(errno));
  std::error_code error;
  TORCH_CHECK(!std::filesystem::is_directory(path, error), "[", what, "] cannot open ", path, ": it is a folder");
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace torch_hpu::train
