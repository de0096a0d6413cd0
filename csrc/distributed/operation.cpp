#include "csrc/distributed/operation.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <atomic>
#include <set>

#include "csrc/device/device.h"
#include "csrc/lazy/failure.h"
#include "csrc/lazy/sync.h"
#include "csrc/support/exit.h"

namespace torch_hpu::distributed {
namespace {

// Queues live as long as the process; those that no group uses wait here for the next.
struct IdleStreams {
  std::mutex mutex;
  std::vector<c10::Stream> streams;

  static IdleStreams& instance() {
    static auto* streams = new IdleStreams;
    return *streams;
  }
  c10::Stream take(c10::DeviceIndex device) {
    std::lock_guard<std::mutex> lock(mutex);
    for (auto it = streams.begin(); it != streams.end(); ++it) {
      if (it->device_index() == device && device::queue_of(*it).idle()) {
        const c10::Stream stream = *it;
        streams.erase(it);
        return stream;
      }
    }
    return device::new_stream(device);
  }
  void give(c10::Stream stream) {
    std::lock_guard<std::mutex> lock(mutex);
    streams.push_back(stream);
  }
};

// Operations that wait for the engine: at exit they are let go, or the process could not end while a peer is missing.
struct Waiting {
  std::mutex mutex;
  std::set<Operation*> operations;
  std::atomic<bool> exiting{false};

  static Waiting& instance() {
    static auto* waiting = [] {
      stop_at_exit([] { Waiting::instance().release(); });
      return new Waiting;
    }();
    return *waiting;
  }
  void release() {
    exiting = true;
    std::lock_guard<std::mutex> lock(mutex);
    for (Operation* operation : operations) {
      std::lock_guard<std::mutex> its_lock(operation->mutex);
      operation->changed.notify_all();
      if (operation->work != nullptr) {
        try {
          operation->work->abort();  // sends and receives end by it
        } catch (const std::exception&) {
        }
      }
    }
  }
};

// What the tasks need of an operand: no tensor, which would keep the bytes observable.
struct Window {
  lazy::MemoryPtr memory;
  int64_t offset;  // bytes
  int64_t nbytes;
  c10::ScalarType view;
  bool read, written;

  bool whole() const {
    return offset == 0 && static_cast<size_t>(nbytes) == memory->nbytes;
  }
  at::Tensor on_host() const {
    const int64_t numel = nbytes / static_cast<int64_t>(c10::elementSize(view));
    const auto options = at::TensorOptions().dtype(view).device(c10::kCPU);
    if (numel == 0) {
      return at::empty({0}, options);
    }
    return at::from_blob(memory->data + offset, {numel}, [keep = memory](void*) {}, options);
  }
};

struct Wait {
  device::StreamQueue* queue;
  uint64_t ticket;
};

struct Job {
  std::shared_ptr<Operation> operation;
  std::vector<Window> windows;
  std::vector<Wait> waits;
  Lanes::Request request;  // without its operands
  device::StreamQueue* posting = nullptr;
  uint64_t posted = 0;
};

void post(Job& job) {
  for (const Wait& wait : job.waits) {
    wait.queue->wait(wait.ticket);
  }
  Operation& operation = *job.operation;
  try {
    std::vector<at::Tensor> views;
    for (const Window& window : job.windows) {
      if (window.read || !window.whole()) {
        lazy::throw_if_failed(*window.memory);
      }
      window.memory->bind();
      views.push_back(window.on_host());
    }
    if (job.request.entered) {
      job.request.entered();
    }
    auto work = job.request.post(views);
    std::lock_guard<std::mutex> lock(operation.mutex);
    operation.work = std::move(work);
  } catch (...) {
    std::lock_guard<std::mutex> lock(operation.mutex);
    operation.error = std::current_exception();
  }
}

using Kind = Lanes::Request::Kind;

// The engine's works for collectives tell their futures; those for sends and receives have none and know how to be aborted.
void wait_for_engine(const std::shared_ptr<Operation>& operation, Kind kind) {
  Waiting& waiting = Waiting::instance();
  {
    std::lock_guard<std::mutex> lock(waiting.mutex);
    waiting.operations.insert(operation.get());
  }
  struct Leave {
    Waiting& waiting;
    Operation* operation;
    ~Leave() {
      std::lock_guard<std::mutex> lock(waiting.mutex);
      waiting.operations.erase(operation);
    }
  } leave{waiting, operation.get()};
  TORCH_CHECK(!waiting.exiting, "the process exits");
  if (kind == Kind::kCollective) {
    auto done = std::make_shared<std::atomic<bool>>(false);
    operation->work->getFuture()->addCallback([done, operation](c10::ivalue::Future&) {
      std::lock_guard<std::mutex> lock(operation->mutex);
      *done = true;
      operation->changed.notify_all();
    });
    std::unique_lock<std::mutex> lock(operation->mutex);
    operation->changed.wait(lock, [&] { return done->load() || waiting.exiting.load(); });
    TORCH_CHECK(done->load(), "the process exits");
  }
  operation->work->wait();
  if (kind == Kind::kReceive) {
    operation->source_rank = operation->work->sourceRank();
  }
}

void complete(Job& job) {
  job.posting->wait(job.posted);
  Operation& operation = *job.operation;
  std::exception_ptr error = operation.error;
  if (error == nullptr) {
    try {
      wait_for_engine(job.operation, job.request.kind);
      for (const Window& window : job.windows) {
        if (window.written && window.whole()) {
          lazy::heal(*window.memory);
        }
      }
    } catch (const c10::Error& e) {
      error = job.request.explain(e.what_without_backtrace());
    } catch (const std::exception& e) {
      error = job.request.explain(e.what());
    }
  }
  if (error != nullptr) {
    std::vector<lazy::Memory*> written;
    for (const Window& window : job.windows) {
      if (window.written) {
        written.push_back(window.memory.get());
      }
    }
    lazy::keep_failure(operation.queue->stream(), written, error);
  }
  c10::intrusive_ptr<c10d::Work> work;  // with its views of the memory; dropped without the lock
  std::lock_guard<std::mutex> lock(operation.mutex);
  work.swap(operation.work);
  operation.error = error;
  operation.ended = true;
  operation.changed.notify_all();
}

}  // namespace

bool Operation::wait(std::chrono::milliseconds timeout) {
  if (queue->finished_ticket() >= ticket) {
    return true;
  }
  const lazy::WithoutGil without_gil;
  if (timeout.count() <= 0) {
    queue->wait(ticket);
    return true;
  }
  std::unique_lock<std::mutex> lock(mutex);
  return changed.wait_for(lock, timeout, [&] { return ended; });
}

void Operation::rethrow() {
  std::exception_ptr thrown;
  {
    std::lock_guard<std::mutex> lock(mutex);
    thrown = ended ? error : nullptr;
  }
  if (thrown != nullptr) {
    lazy::take_stream_error(queue->stream());  // seen
    std::rethrow_exception(thrown);
  }
}

Lanes::Lanes(c10::DeviceIndex device) : posting_(IdleStreams::instance().take(device)), completion_(IdleStreams::instance().take(device)) {
  device::queue_of(posting_);
  Waiting::instance();  // after the queues, so that it is asked to stop before them
}

Lanes::~Lanes() {
  IdleStreams::instance().give(posting_);
  IdleStreams::instance().give(completion_);
}

void Lanes::drain() {
  device::StreamQueue& queue = device::queue_of(completion_);
  queue.wait(queue.last_ticket());
}

std::shared_ptr<Operation> Lanes::enqueue(Request request) {
  lazy::forbid_host_in_capture(request.name);
  const bool own_lane = request.kind != Kind::kCollective;
  const c10::Stream lane = own_lane ? IdleStreams::instance().take(completion_.device_index()) : completion_;
  auto job = std::make_shared<Job>();
  job->operation = std::make_shared<Operation>();
  job->operation->name = request.name;
  job->operation->queue = &device::queue_of(lane);
  job->posting = &device::queue_of(posting_);
  for (const auto& [queue, ticket] : request.after) {
    job->waits.push_back({queue, ticket});
  }
  const std::vector<Operand> operands = std::move(request.operands);
  job->request = std::move(request);
  {
    const lazy::Lock lock = lazy::lock_recording();
    for (const Operand& operand : operands) {
      const at::Tensor& t = operand.tensor;
      lazy::Memory* memory = lazy::memory_of(t.storage().unsafeGetStorageImpl());
      if (memory->trace != nullptr) {
        TORCH_CHECK(!memory->trace->capturing(), "[hccl] ", job->request.name,
                    ": a tensor is a value of an HPU Graph that is being captured; collectives cannot be captured");
        lazy::flush_locked(lock, memory->trace->stream, job->request.name.c_str(), /*wake=*/true);
      }
      job->windows.push_back({lazy::MemoryPtr::reclaim_copy(memory), t.storage_offset() * static_cast<int64_t>(t.itemsize()),
                              t.numel() * static_cast<int64_t>(t.itemsize()), operand.view, operand.read, operand.written});
    }
    for (const Window& window : job->windows) {
      lazy::Memory& memory = *window.memory;
      if (memory.queue != nullptr && memory.last_use > memory.queue->finished_ticket()) {
        job->waits.push_back({memory.queue, memory.last_use});
      }
    }
    job->posted = job->posting->enqueue([job] { post(*job); }, /*wake=*/true, /*computes=*/false);
    const uint64_t ticket = job->operation->queue->enqueue([job] { complete(*job); }, /*wake=*/true, /*computes=*/false);
    job->operation->ticket = ticket;
    for (size_t i = 0; i < operands.size(); ++i) {
      lazy::Memory& memory = *job->windows[i].memory;
      memory.queue = job->operation->queue;
      memory.last_use = ticket;
      memory.produced = true;
      if (operands[i].written) {
        memory.version.fetch_add(1, std::memory_order_relaxed);
      }
    }
  }
  for (const Operand& operand : operands) {
    lazy::arm(operand.tensor.storage().unsafeGetStorageImpl());
  }
  if (own_lane) {
    IdleStreams::instance().give(lane);  // taken again only when it is idle
  }
  lazy::throttle(posting_);
  return job->operation;
}

}  // namespace torch_hpu::distributed
