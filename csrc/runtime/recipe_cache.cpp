#include "csrc/runtime/recipe_cache.h"

#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "csrc/support/counters.h"
#include "csrc/support/env.h"
#include "csrc/support/exit.h"
#include "csrc/support/team.h"

namespace torch_hpu::runtime {
namespace {

struct Variant {
  std::vector<bool> observable;
  std::shared_ptr<const Recipe> generic;
  std::shared_ptr<const Recipe> compiled;
  std::exception_ptr error;  // of the background compilation: the next use reports it
  bool compiling = false;    // somebody is at it, for either tier

  bool covers(const std::vector<bool>& wanted) const {
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i] && !observable[i]) {
        return false;
      }
    }
    return true;
  }
};

struct Entry {
  std::vector<uint64_t> words;
  std::list<std::shared_ptr<Variant>> variants;
  std::list<uint64_t>::iterator age;
};

struct Cache {
  std::mutex mutex;
  std::condition_variable compiled;
  std::unordered_multimap<uint64_t, Entry> entries;  // by hash
  std::list<uint64_t> ages;                          // hashes, most recent first

  // The compile thread of tier auto.
  std::condition_variable work;
  std::deque<std::function<void()>> jobs;
  bool thread_started = false;
  bool busy = false;
  bool stopping = false;
};

Cache& cache() {
  static auto* instance = new Cache;  // outlives every thread
  return *instance;
}

Entry& entry_of(Cache& c, const RecipeKey& key) {
  auto [first, last] = c.entries.equal_range(key.hash);
  for (auto it = first; it != last; ++it) {
    if (it->second.words == key.words) {
      c.ages.splice(c.ages.begin(), c.ages, it->second.age);
      return it->second;
    }
  }
  c.ages.push_front(key.hash);
  Entry& entry = c.entries.emplace(key.hash, Entry{key.words, {}, c.ages.begin()})->second;
  const size_t capacity = std::max<size_t>(2, options().recipe_cache);
  while (c.entries.size() > capacity) {
    const auto oldest = std::prev(c.ages.end());
    auto [from, to] = c.entries.equal_range(*oldest);
    for (auto it = from; it != to; ++it) {
      if (it->second.age == oldest) {
        c.entries.erase(it);
        break;
      }
    }
    c.ages.erase(oldest);
  }
  return entry;
}

std::shared_ptr<Variant> variant_of(Entry& entry, const std::vector<bool>& observable) {
  for (const auto& v : entry.variants) {
    if (v->covers(observable)) {
      return v;
    }
  }
  auto variant = std::make_shared<Variant>();
  variant->observable = observable;
  if (!entry.variants.empty()) {  // a second set: from now on one recipe for all that were seen
    for (const auto& v : entry.variants) {
      for (size_t i = 0; i < observable.size(); ++i) {
        variant->observable[i] = variant->observable[i] || v->observable[i];
      }
    }
  }
  entry.variants.push_front(variant);
  return variant;
}

// Compiles one tier of a variant without the lock; the variant is marked as compiling meanwhile.
std::shared_ptr<const Recipe> compile_variant(Cache& c, std::unique_lock<std::mutex>& lock, Variant& variant, const CompileFn& compile,
                                              bool generic) {
  variant.compiling = true;
  lock.unlock();
  std::shared_ptr<const Recipe> recipe;
  std::exception_ptr error;
  try {
    recipe = compile(variant.observable, generic);
    count(generic ? Counter::kGenericRecipes : recipe->from_disk ? Counter::kDiskHits : Counter::kCompilations);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  variant.compiling = false;
  (generic ? variant.generic : variant.compiled) = recipe;
  c.compiled.notify_all();
  if (error) {
    std::rethrow_exception(error);
  }
  return recipe;
}

// The compile thread ends with the process, see Note [Process exit]: exit waits for the job that is running; jobs that have not begun are dropped.
void start_compile_thread(Cache& c) {
  c.thread_started = true;
  std::thread([&c] {
    std::unique_lock<std::mutex> lock(c.mutex);
    for (;;) {
      if (c.jobs.empty() && !c.stopping) {
        c.busy = true;
        lock.unlock();
        release_team();  // kernels were timed with it
        lock.lock();
        c.busy = false;
        c.compiled.notify_all();
      }
      c.work.wait(lock, [&] { return !c.jobs.empty() && !c.stopping; });
      auto job = std::move(c.jobs.front());
      c.jobs.pop_front();
      c.busy = true;
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
      c.busy = false;
      c.compiled.notify_all();
    }
  }).detach();
  stop_at_exit([] {
    Cache& c = cache();
    std::unique_lock<std::mutex> lock(c.mutex);
    c.stopping = true;
    c.compiled.wait(lock, [&] { return !c.busy; });
  });
}

void compile_in_background(Cache& c, std::shared_ptr<Variant> variant, CompileFn compile) {
  if (!c.thread_started) {
    start_compile_thread(c);
  }
  variant->compiling = true;
  c.jobs.push_back([&c, variant = std::move(variant), compile = std::move(compile)] {
    std::unique_lock<std::mutex> lock(c.mutex);
    try {
      compile_variant(c, lock, *variant, compile, /*generic=*/false);
    } catch (...) {
      variant->error = std::current_exception();
    }
  });
  c.work.notify_one();
}

}  // namespace

std::shared_ptr<const Recipe> find_or_compile(const RecipeKey& key, const Compiler& compiler, TierPolicy policy) {
  Cache& c = cache();
  std::unique_lock<std::mutex> lock(c.mutex);
  std::shared_ptr<Variant> variant = variant_of(entry_of(c, key), key.observable);
  const bool want_generic = policy == TierPolicy::kGeneric;
  auto ready = [&]() -> const std::shared_ptr<const Recipe>& {
    if (want_generic || (policy == TierPolicy::kAuto && !variant->compiled)) {
      return variant->generic;
    }
    return variant->compiled;
  };
  if (!ready() && !(policy == TierPolicy::kAuto)) {
    c.compiled.wait(lock, [&] { return !variant->compiling || ready(); });
  }
  if (variant->error) {
    std::rethrow_exception(std::exchange(variant->error, nullptr));
  }
  if (ready()) {
    count(Counter::kRecipeHits);
    return ready();
  }
  count(Counter::kRecipeMisses);
  if (policy != TierPolicy::kAuto) {
    return compile_variant(c, lock, *variant, compiler.now, want_generic);
  }
  lock.unlock();  // generic recipes are cheap: not worth a single flight
  std::shared_ptr<const Recipe> generic = compiler.now(variant->observable, /*generic=*/true);
  count(Counter::kGenericRecipes);
  lock.lock();
  variant->generic = generic;
  if (!variant->compiled && !variant->compiling) {
    compile_in_background(c, variant, compiler.later());
  }
  return generic;
}

size_t cached_recipes() {
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  return c.entries.size();
}

void clear_recipes() {
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  c.entries.clear();
  c.ages.clear();
}

}  // namespace torch_hpu::runtime
