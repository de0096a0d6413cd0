#include "csrc/support/disk_cache.h"

#include <c10/util/Exception.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>

#include "csrc/support/archive.h"
#include "csrc/support/env.h"
#include "csrc/support/environment.h"
#include "csrc/support/hash.h"
#include "csrc/support/log.h"

namespace torch_hpu::disk_cache {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "torch_hpu cache 2\n";
constexpr size_t kHashDigits = 32;

// 128 bits as hex digits: finds entries and tells that bytes were damaged. The folder is private, so nobody has a reason to look for collisions,
// and an entry holds its whole key.
std::string hash_of(std::string_view bytes) {
  std::vector<uint64_t> words((bytes.size() + 7) / 8 + 1);
  std::memcpy(words.data(), bytes.data(), bytes.size());
  words.back() = bytes.size();
  char text[kHashDigits + 1];
  std::snprintf(text, sizeof text, "%016lx%016lx", hash_words(words.data(), words.size(), 1), hash_words(words.data(), words.size(), 2));
  return text;
}

// Empty: unknown, nothing can be kept.
const std::string& environment() {
  static const auto* text = [] {  // outlives every thread
    const std::string build = build_id(), cpu = cpu_description();
    return new std::string(build.empty() || cpu.empty() ? "" : build + '\n' + cpu);
  }();
  return *text;
}

fs::path default_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return fs::path(cache) / "torch_hpu";
  }
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? fs::path(home) / ".cache" / "torch_hpu" : fs::path();
}

// Makes the folder if need be. Why it must not be used, or nothing.
std::string distrust(const fs::path& path) {
  if (path.empty()) {
    return "there is no home folder";
  }
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return "it cannot be made";
  }
  struct stat s;
  if (::lstat(path.c_str(), &s) != 0 || !S_ISDIR(s.st_mode)) {
    return "it is not a folder";
  }
  if (s.st_uid != ::geteuid()) {
    return "it belongs to another user";
  }
  if ((s.st_mode & 077) != 0) {
    return "others may enter it (expected mode 0700)";
  }
  return ::access(path.c_str(), W_OK | X_OK) == 0 ? "" : "it cannot be written";
}

// Whether this folder is good, found out once per folder.
bool trusted(const std::string& path) {
  static std::mutex mutex;
  static auto* known = new std::vector<std::pair<std::string, bool>>;
  const std::lock_guard<std::mutex> lock(mutex);
  for (const auto& [folder, good] : *known) {
    if (folder == path) {
      return good;
    }
  }
  const std::string reason = distrust(path);
  if (!reason.empty()) {
    TORCH_WARN("[hpu] compiled code is not kept on disk: the folder '", path, "' is not used because ", reason,
               ". Set TORCH_HPU_CACHE_DIR to a private folder, or TORCH_HPU_CACHE_BYTES=0.");
  }
  known->emplace_back(path, reason.empty());
  return reason.empty();
}

std::optional<std::string> read_file(const fs::path& path, bool mark_used) {
  const int file = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0) {
    return std::nullopt;
  }
  std::string bytes;
  struct stat s;
  if (::fstat(file, &s) == 0) {
    bytes.resize(static_cast<size_t>(s.st_size));
    size_t have = 0;
    for (ssize_t n; have < bytes.size() && (n = ::read(file, bytes.data() + have, bytes.size() - have)) > 0;) {
      have += static_cast<size_t>(n);
    }
    bytes.resize(have);
  }
  if (mark_used) {
    ::futimens(file, nullptr);
  }
  ::close(file);
  return bytes;
}

// Content of a file: magic, hash of the rest in hex, key, value.
std::string pack(std::string_view key, std::string_view value) {
  Writer w;
  w(std::string(key), std::string(value));
  const std::string body = w.take();
  return std::string(kMagic) + hash_of(body) + body;
}

std::optional<Entry> unpack(std::string_view bytes) {
  if (bytes.size() < kMagic.size() + kHashDigits || bytes.substr(0, kMagic.size()) != kMagic) {
    return std::nullopt;
  }
  bytes.remove_prefix(kMagic.size());
  const std::string_view claimed = bytes.substr(0, kHashDigits);
  bytes.remove_prefix(kHashDigits);
  if (hash_of(bytes) != claimed) {
    return std::nullopt;
  }
  Entry entry;
  Reader r(bytes);
  r(entry.key, entry.value);
  return entry;
}

std::string full_key(std::string_view key) {
  return environment() + std::string(key);
}

std::string name_of(std::string_view kind, std::string_view whole_key) {
  return std::string(kind) + '-' + hash_of(whole_key);
}

// The entry in a file of this name. One that is damaged is removed.
std::optional<Entry> read_entry(const std::string& name) {
  const fs::path path = fs::path(folder()) / name;
  const std::optional<std::string> bytes = read_file(path, /*mark_used=*/true);
  if (!bytes) {
    return std::nullopt;
  }
  std::optional<Entry> entry = unpack(*bytes);
  if (!entry) {
    TORCH_HPU_LOG(1, "damaged file in the cache: " << path.string());
    ::unlink(path.c_str());
  }
  return entry;
}

bool is_temporary(const std::string& name) {
  return name.substr(0, 4) == "new-";
}

// Bytes that this process has added since it last looked at the size of the folder.
std::atomic<int64_t>& added() {
  static std::atomic<int64_t> n{INT64_MAX / 2};
  return n;
}

}  // namespace

std::string folder() {
  return options().cache_dir.empty() ? default_folder().string() : options().cache_dir;
}

bool enabled() {
  return options().cache_bytes > 0 && !environment().empty() && trusted(folder());
}

std::optional<std::string> find(std::string_view kind, std::string_view key) {
  if (!enabled()) {
    return std::nullopt;
  }
  const std::string whole = full_key(key);
  std::optional<Entry> entry = read_entry(name_of(kind, whole));
  return entry && entry->key == whole ? std::optional(std::move(entry->value)) : std::nullopt;
}

std::string file_of(std::string_view kind, std::string_view key) {
  return name_of(kind, full_key(key));
}

std::optional<Entry> read(const std::string& file) {
  std::optional<Entry> entry = enabled() ? read_entry(file) : std::nullopt;
  const std::string& prefix = environment();
  if (!entry || entry->key.compare(0, prefix.size(), prefix) != 0) {
    return std::nullopt;
  }
  entry->key.erase(0, prefix.size());
  return entry;
}

void insert(std::string_view kind, std::string_view key, std::string_view value) {
  if (!enabled()) {
    return;
  }
  const std::string whole = full_key(key), bytes = pack(whole, value);
  std::string temporary = (fs::path(folder()) / "new-XXXXXX").string();
  const int file = ::mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (file < 0) {
    return;
  }
  size_t done = 0;
  for (ssize_t n; done < bytes.size() && (n = ::write(file, bytes.data() + done, bytes.size() - done)) > 0;) {
    done += static_cast<size_t>(n);
  }
  ::close(file);
  if (done < bytes.size() || ::rename(temporary.c_str(), (fs::path(folder()) / name_of(kind, whole)).c_str()) != 0) {
    ::unlink(temporary.c_str());  // a full disk is no reason to fail
    return;
  }
  const int64_t limit = options().cache_bytes;
  if (added().fetch_add(static_cast<int64_t>(bytes.size())) > limit / 8) {
    added() = 0;
    prune(limit / 4 * 3);  // room for a while
  }
}

std::vector<File> list(bool check) {
  std::vector<File> files;
  std::error_code error;
  for (const auto& item : fs::directory_iterator(folder(), error)) {
    struct stat s;
    const std::string name = item.path().filename().string();
    if (is_temporary(name) || ::lstat(item.path().c_str(), &s) != 0 || !S_ISREG(s.st_mode)) {
      continue;
    }
    File& f = files.emplace_back(File{name, s.st_size, s.st_mtime, true});
    if (check) {
      const auto bytes = read_file(item.path(), /*mark_used=*/false);
      f.intact = bytes && unpack(*bytes);
    }
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.last_use > b.last_use; });
  return files;
}

int64_t prune(int64_t nbytes) {
  constexpr int64_t kAbandoned = 3600;  // seconds after which nobody finishes a file any more
  int64_t gone = 0, total = 0;
  const auto remove = [&](const std::string& name) {
    std::error_code error;
    gone += fs::remove(fs::path(folder()) / name, error);
  };
  for (const File& f : list(/*check=*/false)) {
    total += f.nbytes;
    if (total > nbytes) {
      remove(f.name);
    }
  }
  std::error_code error;
  for (const auto& item : fs::directory_iterator(folder(), error)) {
    struct stat s;
    const std::string name = item.path().filename().string();
    if (is_temporary(name) && ::lstat(item.path().c_str(), &s) == 0 && s.st_mtime + kAbandoned < ::time(nullptr)) {
      remove(name);
    }
  }
  return gone;
}

}  // namespace torch_hpu::disk_cache
