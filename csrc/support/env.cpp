#include "csrc/support/env.h"

#include <c10/util/Exception.h>

#include <cstdlib>
#include <functional>
#include <sstream>
#include <variant>
#include <vector>

namespace torch_hpu {
namespace {

using Field = std::variant<bool Options::*, int64_t Options::*, uint64_t Options::*, std::string Options::*>;

struct Row {
  const char* name;  // TORCH_HPU_<NAME>
  Field field;
  const char* choices;  // "a|b|c": the values of a text option; null: any
  const char* help;
};

const std::vector<Row>& table() {
  static const std::vector<Row> rows{
      {"LAZY", &Options::lazy, nullptr, "0: eager mode, each op runs at once on generic kernels"},
      {"TIER", &Options::tier, "auto|generic|compiled",
       "generic: ATen kernels, nothing is compiled; compiled: always; auto: generic while the first compilation runs"},
      {"MAX_NODES", &Options::max_nodes, nullptr, "a trace is flushed when it has this many nodes"},
      {"MAX_BYTES", &Options::max_bytes, nullptr, "a trace is flushed when its pending tensors have this many bytes"},
      {"FALLBACK", &Options::fallback, "silent|warn|error", "what an op without a compiled kernel does besides being counted"},
      {"DUMP", &Options::dump, nullptr, "folder for the text of every compiled graph"},
      {"VERIFY", &Options::verify, nullptr, "1: check every graph and program between passes"},
      {"LOG", &Options::log, nullptr, "0: quiet, 1: compilations, 2: flushes with their causes"},
      {"DEVICES", &Options::devices, nullptr, "number of devices (they share the host's memory)"},
      {"MEMORY_LIMIT", &Options::memory_limit, nullptr, "bytes of device memory; 0: no limit"},
      {"RECIPE_CACHE", &Options::recipe_cache, nullptr, "recipes kept in memory (least recently used go first)"},
      {"PREPARE", &Options::prepare, nullptr,
       "0: nothing is made beside the start of a process for its first run (code generator, programs of the last run, 32 MiB of touched "
       "memory)"},
      {"CACHE_DIR", &Options::cache_dir, nullptr, "private folder for compiled code; empty: torch_hpu in the user's cache folder"},
      {"CACHE_BYTES", &Options::cache_bytes, nullptr, "size that the folder is kept below; 0: nothing is read or written there"},
  };
  return rows;
}

std::string lower(std::string s) {
  for (char& c : s) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return s;
}

const Row& row_of(const std::string& name) {
  for (const Row& row : table()) {
    if (lower(row.name) == lower(name)) {
      return row;
    }
  }
  TORCH_CHECK_VALUE(false, "[hpu] unknown option '", name, "'. The options are:\n", options_help());
}

int64_t parse_int(const Row& row, const std::string& value) {
  char* end = nullptr;
  const long long n = std::strtoll(value.c_str(), &end, 10);
  TORCH_CHECK_VALUE(!value.empty() && *end == '\0' && n >= 0, "[hpu] TORCH_HPU_", row.name, ": got '", value,
                    "', expected a number of 0 or more");
  return n;
}

void assign(Options& o, const Row& row, const std::string& value) {
  std::visit(
      [&](auto field) {
        using T = std::remove_reference_t<decltype(o.*field)>;
        if constexpr (std::is_same_v<T, std::string>) {
          if (row.choices != nullptr) {
            bool known = false;
            std::stringstream choices(row.choices);
            for (std::string c; std::getline(choices, c, '|');) {
              known = known || c == value;
            }
            TORCH_CHECK_VALUE(known, "[hpu] TORCH_HPU_", row.name, ": got '", value, "', expected one of ", row.choices);
          }
          o.*field = value;
        } else {
          o.*field = static_cast<T>(parse_int(row, value));
        }
      },
      row.field);
}

std::string text(const Options& o, const Row& row) {
  return std::visit(
      [&](auto field) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(o.*field)>, std::string>) {
          return o.*field;
        } else {
          return std::to_string(o.*field);
        }
      },
      row.field);
}

Options& mutable_options() {
  static Options* instance = [] {
    auto* o = new Options;
    for (const Row& row : table()) {
      if (const char* value = std::getenv((std::string("TORCH_HPU_") + row.name).c_str())) {
        assign(*o, row, value);
      }
    }
    return o;
  }();
  return *instance;
}

}  // namespace

const Options& options() {
  static const Options& instance = mutable_options();
  return instance;
}

void set_option(const std::string& name, const std::string& value) {
  assign(mutable_options(), row_of(name), value);
}

std::string get_option(const std::string& name) {
  return text(options(), row_of(name));
}

std::string options_help() {
  const Options defaults;
  std::ostringstream out;
  for (const Row& row : table()) {
    out << "TORCH_HPU_" << row.name << " (" << text(defaults, row) << "): " << row.help << '\n';
  }
  return out.str();
}

}  // namespace torch_hpu
