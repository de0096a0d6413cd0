#include "csrc/distributed/liveness.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <sstream>

namespace torch_hpu::distributed {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(500);
constexpr auto kPatience = std::chrono::milliseconds(3000);  // six missing signs

std::string key_of(int rank) {
  return "hccl/alive/" + std::to_string(rank);
}

}  // namespace

Liveness::Liveness(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, std::vector<int64_t> global_ranks)
    : store_(store->clone()), rank_(rank), size_(size), global_ranks_(std::move(global_ranks)) {
  publish(false);
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
    publish(true);
  } catch (const std::exception&) {
    // The store has gone before us.
  }
}

void Liveness::entered(const std::string& collective) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++sequence_;
  collective_ = collective;
}

std::string Liveness::rank_name(int rank) const {
  return "rank " + std::to_string(static_cast<size_t>(rank) < global_ranks_.size() ? global_ranks_[rank] : rank);
}

void Liveness::publish(bool left) {
  std::ostringstream text;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    text << ++beat_ << ' ' << left << ' ' << sequence_ << ' ' << collective_;
  }
  std::lock_guard<std::mutex> lock(store_mutex_);
  store_->set(key_of(rank_), text.str());
}

void Liveness::beat() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!changed_.wait_for(lock, kInterval, [&] { return stopping_; })) {
    lock.unlock();
    try {
      publish(false);
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
  stream >> sign.beat >> sign.left >> sign.sequence >> sign.collective;
  return sign;
}

std::string Liveness::diagnose() {
  std::vector<Sign> first, last;
  try {
    for (int r = 0; r < size_; ++r) {
      first.push_back(read(r));
    }
    last = first;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    const auto silent = [&](int r) { return r != rank_ && !last[r].left && last[r].beat == first[r].beat; };
    for (bool waiting = true; waiting && std::chrono::steady_clock::now() < deadline;) {
      std::this_thread::sleep_for(kInterval / 5);
      waiting = false;
      for (int r = 0; r < size_; ++r) {
        if (silent(r)) {
          last[r] = read(r);
          waiting = waiting || silent(r);
        }
      }
    }
    std::vector<std::string> lost, left, behind;
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
        lost.push_back(rank_name(r) + " is lost: it has given no sign of life for " + std::to_string(kPatience.count() / 1000) +
                       " seconds");
      } else if (last[r].sequence < sequence) {
        behind.push_back(rank_name(r) + " is alive but has come only to its collective " + std::to_string(last[r].sequence) + " (" +
                         last[r].collective + "), this rank is at " + std::to_string(sequence));
      }
    }
    const auto& reasons = !lost.empty() ? lost : !left.empty() ? left : behind;
    return c10::Join("; ", reasons);
  } catch (const std::exception&) {
    return "the store of the process group cannot be reached: the process that holds it (" + rank_name(0) +
           ", unless a launcher does) is lost";
  }
}

}  // namespace torch_hpu::distributed
