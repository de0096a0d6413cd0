#include "csrc/compiler/recent.h"

#include <algorithm>
#include <condition_variable>
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

// The executable and, of an interpreter, the script or module; other arguments, such as prompts and learning rates, mostly change no program.
std::string command() {
  std::error_code error;
  std::string name = std::filesystem::read_symlink("/proc/self/exe", error).string();
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::string argument, last;
  while (std::getline(in, argument, '\0')) {
    const bool script = argument.size() > 3 && argument.compare(argument.size() - 3, 3, ".py") == 0;
    if (script || last == "-m" || last == "-c") {
      name += '\n' + (script ? std::filesystem::absolute(argument, error).string() : last + ' ' + argument);
      break;
    }
    last = argument;
  }
  return name;
}

class Recent {
 public:
  Recent() : command_(command()) {
    if (const auto bytes = disk_cache::find(kKind, command_)) {
      Reader r(*bytes);
      r(listed_);
    }
  }

  void load(const LoadFn& load) {
    for (const std::string& file : listed()) {
      const std::optional<std::string> key = exiting() ? std::nullopt : disk_cache::key_in(file);
      if (!key || !begin(file)) {
        continue;
      }
      std::unique_ptr<Recipe> recipe;
      try {
        recipe = load(*key);
      } catch (const std::exception& e) {
        TORCH_HPU_LOG(1, "not loaded beside the start: " << e.what());
      }
      finish(file, *key, std::move(recipe));
    }
  }

  std::unique_ptr<Recipe> use(const std::string& key) {
    const std::string file = program_file(key);
    std::unique_lock<std::mutex> lock(mutex_);
    note(file);
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

  // The recipe is null when it could not be loaded.
  void finish(const std::string& file, const std::string& key, std::unique_ptr<Recipe> recipe) {
    const std::lock_guard<std::mutex> lock(mutex_);
    loading_.clear();
    if (recipe != nullptr && (!differs_ || used(file))) {
      loaded_.emplace(file, Loaded{key, std::move(recipe)});
      count(Counter::kAheadLoads);
    }
    finished_.notify_all();
  }

  void note(const std::string& file) {
    if (used(file) || used_.size() == kMost) {
      return;
    }
    used_.push_back(file);
    if (std::find(listed_.begin(), listed_.end(), file) == listed_.end()) {
      differs_ = true;
      loaded_.clear();
      listed_ = used_;
      Writer w;
      w(listed_);
      disk_cache::insert(kKind, command_, w.take());
    }
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
