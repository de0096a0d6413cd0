// The options: one table of TORCH_HPU_* variables, read once, each settable by API.
#pragma once

#include <cstdint>
#include <string>

#include "torch_hpu/lazy.h"  // set_option(), get_option(), options_help(): the public face of the table

namespace torch_hpu {

struct Options {
  bool lazy = true;                        // TORCH_HPU_LAZY
  std::string tier = "auto";               // TORCH_HPU_TIER: auto, generic, compiled
  uint64_t max_nodes = 20000;              // TORCH_HPU_MAX_NODES
  int64_t max_bytes = int64_t{4} << 30;    // TORCH_HPU_MAX_BYTES
  std::string fallback = "silent";         // TORCH_HPU_FALLBACK: silent, warn, error
  std::string dump;                        // TORCH_HPU_DUMP
  bool verify = false;                     // TORCH_HPU_VERIFY
  int64_t log = 0;                         // TORCH_HPU_LOG
  int64_t devices = 1;                     // TORCH_HPU_DEVICES
  int64_t memory_limit = 0;                // TORCH_HPU_MEMORY_LIMIT
  uint64_t recipe_cache = 1024;            // TORCH_HPU_RECIPE_CACHE
  bool prepare = true;                     // TORCH_HPU_PREPARE
  std::string cache_dir;                   // TORCH_HPU_CACHE_DIR
  int64_t cache_bytes = int64_t{1} << 30;  // TORCH_HPU_CACHE_BYTES
};

// The process's options. Written by set_option() and by the scopes of the API; not meant to change while other threads record.
const Options& options();

}  // namespace torch_hpu
