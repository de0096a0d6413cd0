// The compiled code that is kept on disk between processes: a private folder, TORCH_HPU_CACHE_DIR (torch_hpu in the user's cache folder),
// kept below TORCH_HPU_CACHE_BYTES.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct CompileCacheFile {
  std::string name;  // what it holds ("kernel", "program", "choice", "recent"), a dash, the hash of its key
  int64_t nbytes;    // of the file
  int64_t last_use;  // seconds since 1970
  bool intact;       // compile_cache_files(check = true): false when its content is damaged
};

// False: switched off, or the folder cannot be trusted (a warning has said why).
TORCH_HPU_API bool compile_cache_enabled();
TORCH_HPU_API std::string compile_cache_folder();

// The files, the most recently used first. check: reads all of them.
TORCH_HPU_API std::vector<CompileCacheFile> compile_cache_files(bool check = false);

// Removes the least recently used files until at most `nbytes` are left; returns how many files went.
TORCH_HPU_API int64_t prune_compile_cache(int64_t nbytes);

}  // namespace torch_hpu
