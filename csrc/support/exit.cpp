#include "csrc/support/exit.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

namespace torch_hpu {
namespace {

struct Stops {
  std::mutex mutex;
  std::vector<void (*)()> functions;
  const pid_t process = getpid();
};

Stops& stops() {
  static auto* instance = new Stops;
  return *instance;
}

struct Jobs {
  std::mutex mutex;
  std::vector<std::shared_future<void>> started;
};

Jobs& jobs() {
  static auto* instance = [] {
    stop_at_exit([] {
      const std::lock_guard<std::mutex> lock(jobs().mutex);
      for (const auto& job : jobs().started) {
        job.wait();
      }
    });
    return new Jobs;
  }();
  return *instance;
}

void stop_all() {
  Stops& s = stops();
  if (getpid() != s.process) {
    return;
  }
  std::vector<void (*)()> functions;
  {
    std::lock_guard<std::mutex> lock(s.mutex);
    functions = std::exchange(s.functions, {});
  }
  for (auto it = functions.rbegin(); it != functions.rend(); ++it) {
    (*it)();
  }
}

struct AtThreadEnd {
  ~AtThreadEnd() {
    if (syscall(SYS_gettid) == getpid()) {  // the main thread: the process ends
      stop_all();
    }
  }
};
thread_local AtThreadEnd at_thread_end;

// When the library is loaded.
const bool installed = [] {
  stops();
  [[maybe_unused]] volatile const AtThreadEnd* touch = &at_thread_end;  // constructs it
  return std::atexit(&stop_all) == 0;
}();

}  // namespace

void stop_at_exit(void (*stop)()) {
  std::lock_guard<std::mutex> lock(stops().mutex);
  stops().functions.push_back(stop);
}

std::shared_future<void> run_aside(std::function<void()> job) {
  std::shared_future<void> future = std::async(std::launch::async, std::move(job));
  const std::lock_guard<std::mutex> lock(jobs().mutex);
  jobs().started.push_back(future);
  return future;
}

}  // namespace torch_hpu
