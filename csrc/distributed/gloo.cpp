// libtorch_cpu holds Gloo and c10d::ProcessGroupGloo, but the header of that class includes Gloo's own headers, which torch does not install.
// So the class is declared here once more, with what its creation needs: its constructor, and members of the same sizes in the same order as
// in torch 2.13's header, the version that CMake insists on. Its functions are reached through the virtual ones of c10d::Backend. No vtable is
// made here: the first function of the class that is not inline, the destructor, lives in libtorch_cpu.
#include "csrc/distributed/gloo.h"

#include <signal.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace c10d {

class TORCH_API ProcessGroupGloo : public Backend {
 public:
  struct TORCH_API Options : public Backend::Options {
    static c10::intrusive_ptr<Options> create_default(std::chrono::milliseconds timeout);

    std::vector<std::shared_ptr<void>> devices;
    int threads;
  };

  explicit ProcessGroupGloo(const c10::intrusive_ptr<Store>& store, int rank, int size, c10::intrusive_ptr<Options> options);
  ~ProcessGroupGloo() override;

 protected:
  std::shared_ptr<void> store_;
  c10::intrusive_ptr<Options> options_;
  std::vector<std::shared_ptr<void>> contexts_;
  std::vector<std::thread> threads_;
  bool stop_;
  uint32_t collective_counter_;
  std::deque<c10::intrusive_ptr<Work>> work_queue_;
  std::vector<c10::intrusive_ptr<Work>> work_in_progress_;
  std::mutex work_mutex_;
  std::condition_variable work_produce_, work_consume_;
  uint64_t sequence_;
  size_t local_id_;
  std::shared_ptr<void> status_;
};

static_assert(sizeof(ProcessGroupGloo) == 488, "the size that libtorch_cpu of torch 2.13 allocates for it");

}  // namespace c10d

namespace torch_hpu::distributed {
namespace {

// Gloo writes to sockets in a way that raises SIGPIPE when the other side has ended, which by default ends this process without a word. Python
// ignores the signal, a C++ program does not, unless it has a handler of its own.
void ignore_broken_pipes() {
  struct sigaction current = {};
  if (sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) {
    current.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &current, nullptr);
  }
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                            std::chrono::milliseconds timeout) {
  ignore_broken_pipes();
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, c10d::ProcessGroupGloo::Options::create_default(timeout));
}

}  // namespace torch_hpu::distributed
