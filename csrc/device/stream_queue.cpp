#include "csrc/device/stream_queue.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "csrc/device/fork.h"
#include "csrc/support/exit.h"
#include "csrc/support/team.h"

namespace torch_hpu::device {
namespace {

using Clock = std::chrono::steady_clock;

// How long a worker that was at rest leaves a task to its caller, who is often just about to wait for it: then the caller computes, with its own team.
constexpr auto kHandOver = std::chrono::microseconds(300);
// See Note [Teams of OpenMP threads]: how long a worker with nothing to do keeps its team, and how far apart a thread gives it back for others.
constexpr auto kTeamKept = std::chrono::seconds(1);
constexpr auto kTeamsApart = std::chrono::milliseconds(250);

thread_local bool on_worker = false;

// Of a thread that waits while a worker computes.
void release_own_team() {
  thread_local Clock::time_point next;
  if (const auto now = Clock::now(); now >= next) {
    next = now + kTeamsApart;
    release_team();
  }
}

class Queue final : public StreamQueue {
 public:
  explicit Queue(c10::Stream stream) : stream_(stream) {}

  uint64_t enqueue(Task task, bool wake, bool computes) override {
    check_not_forked();
    std::lock_guard<std::mutex> lock(mutex_);
    tasks_.push_back({std::move(task), computes});
    const uint64_t ticket = last_.fetch_add(1, std::memory_order_relaxed) + 1;
    if (wake) {
      wanted_ = ticket;
      hurry_ = hurry_ || !computes;
      if (!worker_started_) {
        worker_started_ = true;
        std::thread([this] { work(); }).detach();  // queues are immortal, so is their worker
      }
      tell();
    }
    return ticket;
  }

  uint64_t begin_here() override {
    check_not_forked();
    std::lock_guard<std::mutex> lock(mutex_);
    if (busy_ || stopping_ || !tasks_.empty()) {
      return 0;
    }
    busy_ = true;
    return last_.fetch_add(1, std::memory_order_relaxed) + 1;
  }

  void end_here() override {
    std::lock_guard<std::mutex> lock(mutex_);
    finish();
  }

  void wait(uint64_t ticket) override {
    check_not_forked();
    std::unique_lock<std::mutex> lock(mutex_);
    bool released = false;
    while (finished_.load(std::memory_order_relaxed) < ticket) {
      if (!busy_ && on_worker && worker_may_run()) {
        hurry_ = true;  // a worker that waits for another leaves it to that one to compute
        tell();
        wait_for_change(lock);
      } else if (!busy_) {
        dismiss_team();
        run_one(lock);
      } else if (computing_ && !std::exchange(released, true)) {
        lock.unlock();
        release_own_team();
        lock.lock();
      } else {
        wait_for_change(lock);
      }
    }
  }

  // Returns when the worker is at rest, and it stays so. See Note [Process exit].
  void stop() {
    std::unique_lock<std::mutex> lock(mutex_);
    stopping_ = true;
    while (busy_ || releasing_) {
      wait_for_change(lock);
    }
  }

  c10::Stream stream() const override {
    return stream_;
  }
  uint64_t last_ticket() const override {
    return last_.load(std::memory_order_acquire);
  }
  uint64_t finished_ticket() const override {
    return finished_.load(std::memory_order_acquire);
  }

 private:
  // Runs the oldest task on this thread; the lock is dropped meanwhile.
  void run_one(std::unique_lock<std::mutex>& lock) {
    Task task = std::move(tasks_.front().task);
    computing_ = tasks_.front().computes;
    tasks_.pop_front();
    busy_ = true;
    lock.unlock();
    task();
    task = nullptr;  // what it holds may be destroyed without the lock
    lock.lock();
    finish();
  }

  void finish() {
    busy_ = false;
    finished_.fetch_add(1, std::memory_order_release);
    if (waiting_ > 0) {
      finished_one_.notify_all();
    }
    tell();
  }

  bool worker_may_run() const {
    return !stopping_ && !busy_ && !tasks_.empty() && finished_.load(std::memory_order_relaxed) < wanted_;
  }

  // Wakes the worker only for something to do: a thread switch costs more than many a task.
  void tell() {
    if (worker_started_ && worker_may_run()) {
      work_.notify_one();
    }
  }

  void wait_for_change(std::unique_lock<std::mutex>& lock) {
    ++waiting_;
    finished_one_.wait(lock);
    --waiting_;
  }

  // The worker shall give its team back: a caller computes instead.
  void dismiss_team() {
    if (has_team_ && !dismissed_ && Clock::now() >= next_dismissal_) {
      next_dismissal_ = Clock::now() + kTeamsApart;
      dismissed_ = true;
      work_.notify_one();
    }
  }

  void work() {
    on_worker = true;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      rest(lock);
      while (worker_may_run()) {
        has_team_ = has_team_ || tasks_.front().computes;
        dismissed_ = false;
        run_one(lock);
      }
    }
  }

  // Until there is something to do for the worker.
  void rest(std::unique_lock<std::mutex>& lock) {
    const auto called = [&] { return worker_may_run() || dismissed_; };
    hurry_ = false;
    if (!has_team_) {
      work_.wait(lock, called);
    } else if (!work_.wait_for(lock, kTeamKept, called)) {
      dismissed_ = true;
    }
    if (std::exchange(dismissed_, false) && !stopping_) {
      has_team_ = false;
      releasing_ = true;
      lock.unlock();
      release_team();
      lock.lock();
      releasing_ = false;
      finished_one_.notify_all();  // for stop()
    }
    work_.wait_for(lock, kHandOver, [&] { return !worker_may_run() || hurry_; });
  }

  struct Waiting {
    Task task;
    bool computes;
  };

  const c10::Stream stream_;
  std::mutex mutex_;
  std::condition_variable work_, finished_one_;  // the worker waits for the first, everybody else for the second
  int waiting_ = 0;                              // for finished_one_
  std::deque<Waiting> tasks_;
  std::atomic<uint64_t> last_{0}, finished_{0};
  uint64_t wanted_ = 0;  // the worker runs up to this ticket; later tasks wait for a caller
  bool busy_ = false;
  bool computing_ = false;  // the task that was begun last
  bool hurry_ = false;      // the worker leaves nothing to callers
  bool stopping_ = false;
  bool worker_started_ = false;
  bool has_team_ = false;   // the worker, perhaps: it has run a task
  bool dismissed_ = false;  // it shall give the team back
  bool releasing_ = false;  // it is about to
  Clock::time_point next_dismissal_;
};

using Key = std::pair<c10::DeviceIndex, c10::StreamId>;

struct Queues {
  std::mutex mutex;
  std::map<Key, std::unique_ptr<Queue>> queues;

  std::vector<Queue*> list() {
    std::lock_guard<std::mutex> lock(mutex);
    std::vector<Queue*> all;
    for (const auto& [key, queue] : queues) {
      all.push_back(queue.get());
    }
    return all;
  }
};

Queues& all_queues() {
  static auto* instance = [] {
    stop_at_exit([] {
      for (Queue* queue : all_queues().list()) {
        queue->stop();
      }
    });
    return new Queues;  // workers may run until the process ends
  }();
  return *instance;
}

LazyHooks hooks;

}  // namespace

StreamQueue& queue_of(c10::Stream stream) {
  thread_local Key last_key{-1, -1};
  thread_local Queue* last_queue = nullptr;
  const Key key{stream.device_index(), stream.id()};
  if (last_queue != nullptr && last_key == key) {
    return *last_queue;
  }
  Queues& all = all_queues();
  std::lock_guard<std::mutex> lock(all.mutex);
  auto& queue = all.queues[key];
  if (queue == nullptr) {
    queue = std::make_unique<Queue>(stream);
  }
  last_key = key;
  last_queue = queue.get();
  return *queue;
}

std::vector<c10::Stream> streams_of(c10::DeviceIndex device) {
  std::vector<c10::Stream> streams;
  for (const Queue* queue : all_queues().list()) {
    if (queue->stream().device_index() == device) {
      streams.push_back(queue->stream());
    }
  }
  return streams;
}

void wait_all(c10::DeviceIndex device) {
  for (c10::Stream stream : streams_of(device)) {
    StreamQueue& queue = queue_of(stream);
    queue.wait(queue.last_ticket());
  }
}

bool idle(c10::DeviceIndex device) {
  Queues& all = all_queues();
  std::lock_guard<std::mutex> lock(all.mutex);
  return std::all_of(all.queues.begin(), all.queues.end(), [&](const auto& q) { return q.first.first != device || q.second->idle(); });
}

void install_lazy_hooks(const LazyHooks& h) {
  hooks = h;
}

const LazyHooks& lazy_hooks() {
  return hooks;
}

}  // namespace torch_hpu::device
