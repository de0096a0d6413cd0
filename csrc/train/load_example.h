// Loading one example with its index named in whatever goes wrong, and a way for a loader to break off between two examples.
#pragma once

#include <torch_hpu/training_data.h>

#include <atomic>

namespace torch_hpu::train {

// What a call threw, in words without a backtrace. To be called in a catch block.
std::string current_exception_text();

// dataset.get(index), checked; throws c10::Error with the index, or Abandoned.
Example load_example(const Dataset& dataset, int64_t index);

// While it lives, load_example() of this thread throws Abandoned as soon as `current` is no longer `mine`.
class AbandonScope {
 public:
  AbandonScope(const std::atomic<uint64_t>& current, uint64_t mine);
  ~AbandonScope();
  AbandonScope(const AbandonScope&) = delete;
  AbandonScope& operator=(const AbandonScope&) = delete;

 private:
  const std::atomic<uint64_t>* outer_current_;
  uint64_t outer_mine_;
};

struct Abandoned {};

}  // namespace torch_hpu::train
