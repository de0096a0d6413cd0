#include "csrc/device/fork.h"

#include <c10/util/Exception.h>
#include <pthread.h>

#include <atomic>

namespace torch_hpu::device {
namespace {

std::atomic<bool> used{false};
std::atomic<bool> in_child{false};

const int installed = pthread_atfork(nullptr, nullptr, [] { in_child = used.load(); });

}  // namespace

bool forked() {
  return in_child.load(std::memory_order_relaxed);
}

void check_not_forked() {
  if (C10_UNLIKELY(!used.load(std::memory_order_relaxed))) {
    used.store(true, std::memory_order_relaxed);
  }
  TORCH_CHECK(!forked() && installed == 0,
              "[hpu] the device cannot be used in a forked child process after the parent has used it. Start workers with"
              " multiprocessing's 'spawn' method, or keep hpu tensors out of forked workers.");
}

}  // namespace torch_hpu::device
