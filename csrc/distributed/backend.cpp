#include "csrc/distributed/backend.h"

#include <ATen/ATen.h>
#include <torch_hpu/process_group.h>

#include <algorithm>

#include "csrc/device/device.h"
#include "csrc/distributed/arguments.h"
#include "csrc/distributed/gloo.h"
#include "csrc/distributed/work.h"
#include "csrc/lazy/sync.h"
#include "csrc/support/exit.h"

namespace torch_hpu::distributed {
namespace {

// Groups whose signs of life have to end with the process.
struct Groups {
  std::mutex mutex;
  std::vector<std::weak_ptr<Liveness>> alive;

  static Groups& instance() {
    static auto* groups = [] {
      stop_at_exit([] {
        std::vector<std::weak_ptr<Liveness>> all;
        {
          std::lock_guard<std::mutex> lock(Groups::instance().mutex);
          all.swap(Groups::instance().alive);
        }
        for (const auto& group : all) {
          if (const auto liveness = group.lock()) {
            liveness->stop();
          }
        }
      });
      return new Groups;
    }();
    return *groups;
  }
};

}  // namespace

HcclBackend::HcclBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, std::chrono::milliseconds timeout,
                         std::vector<int64_t> global_ranks)
    : Backend(rank, size), gloo_(make_gloo(store, rank, size, timeout)) {
  liveness_ = std::make_shared<Liveness>(store, rank, size, std::move(global_ranks));
  Groups& groups = Groups::instance();
  std::lock_guard<std::mutex> lock(groups.mutex);
  std::erase_if(groups.alive, [](const auto& group) { return group.expired(); });
  groups.alive.push_back(liveness_);
}

HcclBackend::~HcclBackend() {
  const lazy::WithoutGil without_gil;
  liveness_->stop();
  lanes_.reset();
  gloo_.reset();
}

c10::intrusive_ptr<c10d::Backend::Options> HcclBackend::getBackendOptions() {
  return gloo_->getBackendOptions();
}

void HcclBackend::setTimeout(std::chrono::milliseconds timeout) {
  gloo_->setTimeout(timeout);
}

void HcclBackend::shutdown() {
  std::shared_ptr<Lanes> lanes;
  {
    std::lock_guard<std::mutex> lock(lanes_mutex_);
    lanes = lanes_;
  }
  if (lanes != nullptr) {
    const lazy::WithoutGil without_gil;
    lanes->drain();
  }
  liveness_->stop();
}

void HcclBackend::abort() {
  liveness_->stop();
}

Lanes& HcclBackend::lanes(const at::Tensor& tensor) {
  std::lock_guard<std::mutex> lock(lanes_mutex_);
  if (lanes_ == nullptr) {
    lanes_ = std::make_shared<Lanes>(tensor.defined() ? tensor.device().index() : device::current_device());
  }
  return *lanes_;
}

std::function<std::exception_ptr(const std::string&)> HcclBackend::explain(const char* name) const {
  return [liveness = liveness_, name, rank = rank_, size = size_](const std::string& message) {
    const std::string reason = liveness->diagnose();
    try {
      C10_THROW_ERROR(DistBackendError, c10::str("[hccl] ", name, " has failed on ", liveness->rank_name(rank), " of ", size,
                                                 reason.empty() ? "" : ": ", reason, ". Gloo says: ", message));
    } catch (...) {
      return std::current_exception();
    }
  };
}

HcclBackend::OperationPtr HcclBackend::enqueue(const char* name, std::vector<Operand> operands, Post post, Kind kind) {
  ++sequence_;
  const at::Tensor first = operands.front().tensor;
  Lanes::Request request;
  request.name = name;
  request.operands = std::move(operands);
  request.post = std::move(post);
  request.kind = kind;
  request.entered = [liveness = liveness_, name, kind] {
    if (kind == Kind::kCollective) {
      liveness->entered(name);
    }
  };
  request.explain = explain(name);
  return lanes(first).enqueue(std::move(request));
}

HcclBackend::WorkPtr HcclBackend::work(c10d::OpType type, std::vector<OperationPtr> operations, Tensors outputs) const {
  return c10::make_intrusive<HcclWork>(rank_, type, std::move(operations), std::move(outputs));
}

void HcclBackend::check_rank(const char* name, const char* role, int64_t rank) const {
  TORCH_CHECK_VALUE(rank >= 0 && rank < size_, "[hccl] ", name, ": got ", role, " rank ", rank, ", expected 0 to ", size_ - 1,
                    " (ranks within the group)");
}

const at::Tensor& HcclBackend::only(const char* name, const Tensors& tensors) const {
  check_count(name, "tensors", tensors.size(), 1);
  check_tensor(name, tensors[0]);
  return tensors[0];
}

// Also waits for what is recorded on the current stream of this rank.
HcclBackend::WorkPtr HcclBackend::barrier(const c10d::BarrierOptions& opts) {
  ++sequence_;
  const c10::Stream stream = device::current_stream(device::current_device());
  lazy::flush(stream, "barrier");
  device::StreamQueue& queue = device::queue_of(stream);
  Lanes::Request request;
  request.name = "barrier";
  request.after.emplace_back(&queue, queue.last_ticket());
  request.post = [gloo = gloo_, opts](Tensors&) { return gloo->barrier(opts); };
  request.entered = [liveness = liveness_] { liveness->entered("barrier"); };
  request.explain = explain("barrier");
  auto operation = lanes(at::Tensor()).enqueue(std::move(request));
  return c10::make_intrusive<HcclWork>(rank_, c10d::OpType::BARRIER, std::vector<OperationPtr>{operation}, Tensors{}, /*blocking=*/true);
}

void HcclBackend::monitoredBarrier(const c10d::BarrierOptions& opts, bool wait_all) {
  barrier({})->wait();
  gloo_->monitoredBarrier(opts, wait_all);
}

}  // namespace torch_hpu::distributed

namespace torch_hpu {

c10::intrusive_ptr<c10d::Backend> make_hccl_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                                    std::chrono::milliseconds timeout, std::vector<int64_t> global_ranks) {
  TORCH_CHECK_VALUE(size > 0 && rank >= 0 && rank < size, "[hccl] got rank ", rank, " of ", size, ", expected 0 to ", size - 1);
  return c10::make_intrusive<distributed::HcclBackend>(store, rank, size, timeout, std::move(global_ranks));
}

}  // namespace torch_hpu
