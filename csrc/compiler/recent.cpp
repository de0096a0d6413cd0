#include "csrc/compiler/recent.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <unordered_map>

#include "csrc/compiler/program_archive.h"
#include "csrc/support/archive.h"
#include "csrc/support/counters.h"
#include "csrc/support/disk_cache.h"
#include "csrc/support/exit.h"
#include "csrc/support/log.h"

namespace torch_hpu::compiler {
namespace {

constexpr size_t kMost = 16;  // programs on a list
constexpr const char* kKind = "recent";

// The executable and, of Python, the script or module; and the rank, for ranks may run different programs. Not the other arguments: prompts and
// learning rates change no program.
std::string command() {
  std::error_code error;
  const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
  std::string name = executable.string();
  if (executable.filename().string().compare(0, 6, "python") == 0) {
    std::ifstream in("/proc/self/cmdline", std::ios::binary);
    std::string argument, last;
    std::getline(in, argument, '\0');  // the interpreter
    while (std::getline(in, argument, '\0')) {
      const bool named = last == "-m" || last == "-c";
      if (named || argument.compare(0, 1, "-") != 0) {
        name += '\n' + (named ? last + ' ' + argument : std::filesystem::absolute(argument, error).string());
        break;
      }
      last = argument;
    }
  }
  const char* const rank = std::getenv("RANK");
  return rank == nullptr ? name : name + "\nrank " + rank;
}

class Recent {
 public:
  Recent() : command_(command()) {
    try {
      if (const auto bytes = disk_cache::find(kKind, command_)) {
        Reader r(*bytes);
        r(listed_);
      }
    } catch (const std::exception& e) {
      TORCH_HPU_LOG(1, "a list of programs cannot be read: " << e.what());
    }
  }

  void load(const LoadFn& load) {
    for (const std::string& file : listed()) {
      if (exiting() || !begin(file)) {
        continue;
      }
      std::optional<Loaded> loaded;
      try {
        if (std::optional<disk_cache::Entry> entry = disk_cache::read(file)) {
          if (auto recipe = load(*entry)) {
            loaded = Loaded{std::move(entry->key), std::move(recipe)};
          }
        }
      } catch (const std::exception& e) {
        TORCH_HPU_LOG(1, "not loaded beside the start: " << e.what());
      } catch (...) {
        TORCH_HPU_LOG(1, "not loaded beside the start");
      }
      finish(file, std::move(loaded));
    }
  }

  std::unique_ptr<Recipe> use(const std::string& key) {
    const std::string file = program_file(key);
    note(file);
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [&] { return loading_ != file; });
    const auto it = loaded_.find(file);
    if (it == loaded_.end() || it->second.key != key) {
      return nullptr;
    }
    std::unique_ptr<Recipe> recipe = std::move(it->second.recipe);
    loaded_.erase(it);
    count(Counter::kAheadHits);
    return recipe;
  }

 private:
  struct Loaded {
    std::string key;
    std::unique_ptr<Recipe> recipe;
  };

  std::vector<std::string> listed() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return listed_;
  }

  bool used(const std::string& file) const {
    return std::find(used_.begin(), used_.end(), file) != used_.end();
  }

  // False: nobody will ask for it any more.
  bool begin(const std::string& file) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (differs_ || used(file)) {
      return false;
    }
    loading_ = file;
    return true;
  }

  void finish(const std::string& file, std::optional<Loaded> loaded) {
    const std::lock_guard<std::mutex> lock(mutex_);
    loading_.clear();
    finished_.notify_all();
    if (loaded && (!differs_ || used(file))) {
      loaded_.emplace(file, std::move(*loaded));
      count(Counter::kAheadLoads);
    }
  }

  void note(const std::string& file) {
    std::unordered_map<std::string, Loaded> dropped;  // destroyed without the lock
    Writer list;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (used(file) || used_.size() == kMost) {
        return;
      }
      used_.push_back(file);
      if (std::find(listed_.begin(), listed_.end(), file) != listed_.end()) {
        return;
      }
      differs_ = true;
      dropped.swap(loaded_);
      listed_ = used_;
      list(listed_);
    }
    disk_cache::insert(kKind, command_, list.take());
  }

  const std::string command_;
  std::mutex mutex_;
  std::condition_variable finished_;
  std::vector<std::string> listed_;  // as the disk has it
  std::vector<std::string> used_;    // by this process
  bool differs_ = false;             // from what it was expected to use
  std::string loading_;              // what load() is at, or empty
  std::unordered_map<std::string, Loaded> loaded_;
};

Recent& recent() {
  static auto* instance = new Recent;  // outlives every thread
  return *instance;
}

}  // namespace

void load_recent(const LoadFn& load) {
  recent().load(load);
}

std::unique_ptr<Recipe> use_program(const std::string& key) {
  return recent().use(key);
}

}  // namespace torch_hpu::compiler
