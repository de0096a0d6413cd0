#include "csrc/support/exit.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <system_error>
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

std::atomic<bool> is_exiting{false};
thread_local bool is_job = false;

struct Jobs {
  std::mutex mutex;
  std::vector<std::shared_future<void>> started;
  bool stopped = false;
};

Jobs& jobs() {
  static auto* instance = [] {
    stop_at_exit([] {
      {
        const std::lock_guard<std::mutex> lock(jobs().mutex);
        jobs().stopped = true;
      }
      wait_for_jobs();
    });
    return new Jobs;
  }();
  return *instance;
}

void forget_finished(Jobs& all) {
  std::erase_if(all.started, [](const auto& job) { return job.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
}

void stop_all() {
  Stops& s = stops();
  if (getpid() != s.process) {
    return;
  }
  is_exiting = true;
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
  Jobs& all = jobs();
  const std::lock_guard<std::mutex> lock(all.mutex);
  forget_finished(all);
  if (!all.stopped) {
    try {
      return all.started.emplace_back(std::async(std::launch::async, [job] {
        is_job = true;
        job();
      }));
    } catch (const std::system_error&) {  // no thread to be had
    }
  }
  return std::async(std::launch::deferred, std::move(job));
}

bool in_job() {
  return is_job;
}

bool exiting() {
  return is_exiting;
}

void wait_for_jobs() {
  for (;;) {
    std::vector<std::shared_future<void>> left;
    {
      const std::lock_guard<std::mutex> lock(jobs().mutex);
      forget_finished(jobs());
      left = jobs().started;
    }
    if (left.empty()) {
      return;
    }
    for (const auto& job : left) {
      job.wait();
    }
  }
}

}  // namespace torch_hpu
