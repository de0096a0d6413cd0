// Measuring candidates when a step is made.
#pragma once

#include <c10/core/ScalarType.h>

#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "csrc/kernels/packed_weights.h"

namespace torch_hpu::kernels {

// Memory full of numbers between -1 and 1. Not zeros: some kernels branch on signs, and a predicted branch costs nothing.
AlignedBytes noise(size_t nbytes, c10::ScalarType dtype);

// Seconds of the fastest of at least `runs` runs of each candidate (more while a millisecond lasts, 50 at most), after one to warm up. Candidates take
// turns, two each unless one run is enough: a machine that is disturbed for some milliseconds decides nothing then.
std::vector<double> fastest_runs(const std::vector<std::function<void()>>& candidates, int runs);

// Choices made by timing candidates: remembered by problem and number of threads, for the process, and in the disk cache for this machine.
class Choices {
 public:
  // The number that time() gives for the problem. One choice is made at a time in the process, which keeps timings apart.
  size_t get(const std::string& problem, const std::function<size_t()>& time);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, size_t> known_;  // by key
};

}  // namespace torch_hpu::kernels
