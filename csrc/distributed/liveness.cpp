#include "csrc/distributed/liveness.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <sstream>

namespace torch_hpu::distributed {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(500);
constexpr auto kPatience = std::chrono::milliseconds(3000);  // six missing signs

constexpr const char* kLost = "hccl/lost";  // the ranks that one of the others has given up

std::string key_of(int rank) {
  return "hccl/alive/" + std::to_string(rank);
}

}  // namespace

Liveness::Liveness(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, std::vector<int64_t> global_ranks)
    : store_(store->clone()), rank_(rank), size_(size), global_ranks_(std::move(global_ranks)) {
  publish();
  thread_ = std::thread([this] { beat(); });
}

Liveness::~Liveness() {
  stop();
}

void Liveness::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) {
      return;
    }
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  try {
    publish();
  } catch (const std::exception&) {
    // The store has gone before us.
  }
}

void Liveness::entered(const std::string& collective) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++sequence_;
  collective_ = collective;
}

int64_t Liveness::global_rank(int rank) const {
  return static_cast<size_t>(rank) < global_ranks_.size() ? global_ranks_[rank] : rank;
}

std::string Liveness::rank_name(int rank) const {
  return "rank " + std::to_string(global_rank(rank));
}

void Liveness::publish() {
  std::lock_guard<std::mutex> order(store_mutex_);
  std::ostringstream text;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    text << ++beat_ << ' ' << stopping_ << ' ' << !lost_.empty() << ' ' << sequence_ << ' ' << collective_;
  }
  store_->set(key_of(rank_), text.str());
}

void Liveness::beat() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!changed_.wait_for(lock, kInterval, [&] { return stopping_; })) {
    lock.unlock();
    try {
      learn();
      publish();
    } catch (const std::exception&) {
      return;  // the store is gone; the next collective will tell
    }
    lock.lock();
  }
}

Liveness::Sign Liveness::read(int rank) {
  Sign sign;
  std::string text;
  {
    std::lock_guard<std::mutex> lock(store_mutex_);
    if (!store_->check({key_of(rank)})) {
      return sign;
    }
    text = store_->get_to_str(key_of(rank));
  }
  std::istringstream stream(text);
  stream >> sign.beat >> sign.left >> sign.knows >> sign.sequence >> sign.collective;
  return sign;
}

std::vector<Liveness::Sign> Liveness::read_all() {
  std::vector<Sign> signs;
  for (int r = 0; r < size_; ++r) {
    signs.push_back(read(r));
  }
  return signs;
}

void Liveness::learn() {
  if (knows()) {
    return;
  }
  std::string text;
  {
    std::lock_guard<std::mutex> lock(store_mutex_);
    if (!store_->check({kLost})) {
      return;
    }
    text = store_->get_to_str(kLost);
  }
  std::istringstream stream(text);
  std::lock_guard<std::mutex> lock(mutex_);
  lost_.assign(std::istream_iterator<int>(stream), {});
}

void Liveness::tell(std::vector<int> lost) {
  const std::string text = c10::Join(" ", lost);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    lost_ = std::move(lost);
  }
  {
    std::lock_guard<std::mutex> lock(store_mutex_);
    store_->set(kLost, text);
  }
  publish();
}

bool Liveness::knows() {
  std::lock_guard<std::mutex> lock(mutex_);
  return !lost_.empty();
}

std::string Liveness::verdict() {
  const std::string silence = "no sign of life for " + std::to_string(kPatience.count() / 1000) + " seconds";
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> reasons;
  for (int r : lost_) {
    reasons.push_back(r == rank_ ? "the others have heard " + silence + " from this rank"
                                 : rank_name(r) + " is lost: it has given " + silence);
  }
  return c10::Join("; ", reasons);
}

void Liveness::watch(std::vector<Sign>& signs, const std::function<bool(int)>& awaited) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (bool waiting = true; waiting && std::chrono::steady_clock::now() < deadline;) {
    std::this_thread::sleep_for(kInterval / 5);
    waiting = false;
    for (int r = 0; r < size_; ++r) {
      if (awaited(r)) {
        signs[r] = read(r);
        waiting = waiting || awaited(r);
      }
    }
  }
}

std::string Liveness::conclude() {
  if (global_rank(rank_) == 0 && !concluded_.exchange(true)) {
    // The store usually ends with this process. Others may fail only when it does: they get the time to hear the reason first.
    try {
      std::vector<Sign> signs = read_all();
      std::vector<int> lost;
      {
        std::lock_guard<std::mutex> lock(mutex_);
        lost = lost_;
      }
      const auto is_lost = [&](int r) { return std::find(lost.begin(), lost.end(), r) != lost.end(); };
      watch(signs, [&](int r) { return r != rank_ && !is_lost(r) && !signs[r].left && !signs[r].knows; });
    } catch (const std::exception&) {
      // Another process has held the store, and has ended.
    }
  }
  return verdict();
}

std::string Liveness::diagnose() {
  if (knows()) {
    return conclude();
  }
  try {
    const std::vector<Sign> first = read_all();
    std::vector<Sign> last = first;
    const auto silent = [&](int r) { return r != rank_ && !last[r].left && last[r].beat == first[r].beat; };
    watch(last, [&](int r) { return silent(r) && !knows(); });
    if (knows()) {
      return conclude();
    }
    std::vector<int> lost;
    std::vector<std::string> left, behind;
    int64_t sequence = 0;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      sequence = sequence_;
    }
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) {
        continue;
      }
      if (last[r].left) {
        left.push_back(rank_name(r) + " has left the group");
      } else if (silent(r)) {
        lost.push_back(r);
      } else if (last[r].sequence < sequence) {
        behind.push_back(rank_name(r) + " is alive but has come only to its collective " + std::to_string(last[r].sequence) + " (" +
                         last[r].collective + "), this rank is at " + std::to_string(sequence));
      }
    }
    if (lost.empty()) {
      return c10::Join("; ", left.empty() ? behind : left);
    }
    tell(std::move(lost));
    return conclude();
  } catch (const std::exception&) {
    return knows() ? verdict()
                   : "the store of the process group cannot be reached: the process that holds it (" + rank_name(0) +
                         ", unless a launcher does) is lost";
  }
}

}  // namespace torch_hpu::distributed
