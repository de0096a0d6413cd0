// One collective on its way: recorded work -> Gloo -> recorded work, without the host.
//
// Note [Order of collectives]
// A group has a queue for posting: task n waits until the bytes of collective n are ready (tickets of the queues that use them) and hands it to
// Gloo, which does not block. So collectives reach Gloo in the order of the calls. A second task, in a queue for completion, waits for Gloo. The
// memories of the operands are then in use by that second task, so work that is recorded later, on any stream, and the host's reads wait for it by
// themselves, as for any other task. Collectives share one queue for completion; each send and receive has one to itself, because the order in
// which they end is the peers' business.
//
// A failure of a collective is kept as a recipe's is (lazy/failure.h): whatever it should have written is failed, reading that throws.
#pragma once

#include <torch/csrc/distributed/c10d/Work.hpp>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "csrc/device/stream_queue.h"

namespace torch_hpu::distributed {

// A window of device memory that a collective uses: contiguous, on hpu.
struct Operand {
  at::Tensor tensor;
  c10::ScalarType view;  // how the engine sees the bytes
  bool read, written;
};

// A call of the engine: gets one-dimensional CPU tensors over the operands' bytes, in their order.
using Post = std::function<c10::intrusive_ptr<c10d::Work>(std::vector<at::Tensor>& views)>;

// The state that the tasks of a collective and its Work share.
struct Operation {
  std::string name;
  device::StreamQueue* queue = nullptr;  // for completion
  uint64_t ticket = 0;

  // Blocks until it has ended, without the GIL; false when the time is over (0: no limit).
  bool wait(std::chrono::milliseconds timeout);
  // Throws its error, if it has ended with one.
  void rethrow();

  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
  std::exception_ptr error;
  int source_rank = -1;                 // of a receive from any rank, once ended
  c10::intrusive_ptr<c10d::Work> work;  // the engine's, from posting to end
};

// The queues of a group.
class Lanes {
 public:
  explicit Lanes(c10::DeviceIndex device);
  ~Lanes();  // hands the queues back for other groups
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  struct Request {
    std::string name;  // "all_reduce"
    std::vector<Operand> operands;
    Post post;
    enum class Kind { kCollective, kSend, kReceive } kind = Kind::kCollective;
    std::vector<std::pair<device::StreamQueue*, uint64_t>> after;   // more work to wait for
    std::function<void()> entered;                                  // called when it is handed to the engine
    std::function<std::exception_ptr(const std::string&)> explain;  // makes an error of the engine's message
  };
  // Returns at once, unless very many are queued.
  std::shared_ptr<Operation> enqueue(Request request);
  void drain();  // waits for all collectives; not for sends and receives

 private:
  c10::Stream posting_, completion_;
};

}  // namespace torch_hpu::distributed
