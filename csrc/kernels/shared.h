// Equal problems share a kernel: a network has each of its shapes many times, and describing a problem to oneDNN takes a tenth of a millisecond.
#pragma once

#include <ATen/Parallel.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "csrc/kernels/simd.h"

namespace torch_hpu::kernels {

// The key of what is made for a problem here: kernels, layouts and choices depend on the number of threads and on the vector instructions.
inline std::string key_here(const std::string& problem) {
  return problem + " threads " + std::to_string(at::get_num_threads()) + " isa " + std::to_string(static_cast<int>(simd::isa()));
}

// Immutable objects by problem, for as long as somebody holds them. Thread-safe.
template <typename T>
class Shared {
 public:
  // The problem's object, or what make() returns (which may be null).
  template <typename Make>
  std::shared_ptr<const T> get(const std::string& problem, Make make) {
    const std::string key = key_here(problem);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (const auto it = known_.find(key); it != known_.end()) {
        if (std::shared_ptr<const T> known = it->second.lock()) {
          return known;
        }
      }
    }
    std::shared_ptr<const T> made = make();  // without the lock: it takes its time
    const std::lock_guard<std::mutex> lock(mutex_);
    if (known_.size() >= crowded_) {
      std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
      crowded_ = 2 * known_.size() + 64;
    }
    known_[key] = made;
    return made;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<const T>> known_;
  size_t crowded_ = 64;
};

}  // namespace torch_hpu::kernels
