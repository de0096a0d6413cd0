// Compiled code that outlives the process: values by key, each a file of a private folder. Knows nothing of what it keeps.
//
// Note [The disk cache]
// What lies there is executed, so the folder must belong to this user and to nobody else (mode 0700, checked at its first use; else the
// cache is off, with a warning). A file holds its whole key, which is compared, and a hash of its content: a damaged or half-written one
// is a miss and is removed. Files appear by rename, complete or not at all; any number of processes may share the folder. Every
// key is extended by this build of the library and the CPU (support/environment.h). The folder is kept below a size: the least
// recently used files go.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace torch_hpu::disk_cache {

// False: switched off (TORCH_HPU_CACHE_BYTES=0), or the folder cannot be trusted.
bool enabled();

// `kind`: a short word for lists ("kernel", "program", "choice", "recent").
std::optional<std::string> find(std::string_view kind, std::string_view key);
void insert(std::string_view kind, std::string_view key, std::string_view value);

struct Entry {
  std::string key, value;
};
// The name of the file that holds a key, whether it exists or not, and what a file holds, if it is from this build and CPU.
std::string file_of(std::string_view kind, std::string_view key);
std::optional<Entry> read(const std::string& file);

// ---- for tools

struct File {
  std::string name;  // "<kind>-<hash>"
  int64_t nbytes = 0;
  int64_t last_use = 0;  // seconds since 1970
  bool intact = true;    // list(check = true): whether its content has the hash that it claims
};
std::string folder();
std::vector<File> list(bool check);  // the most recently used first
// Removes the least recently used files above `nbytes` in all, and what writers that died left behind. Returns how many went.
int64_t prune(int64_t nbytes);

}  // namespace torch_hpu::disk_cache
