#include "csrc/distributed/work.h"

namespace torch_hpu::distributed {

HcclWork::HcclWork(int rank, c10d::OpType type, std::vector<std::shared_ptr<Operation>> operations, std::vector<at::Tensor> outputs,
                   bool blocking)
    : Work(rank, type), operations_(std::move(operations)), outputs_(std::move(outputs)), blocking_(blocking) {}

bool HcclWork::isCompleted() {
  for (const auto& operation : operations_) {
    if (operation->queue->finished_ticket() < operation->ticket) {
      return false;
    }
  }
  return true;
}

std::exception_ptr HcclWork::exception() const {
  for (const auto& operation : operations_) {
    std::lock_guard<std::mutex> lock(operation->mutex);
    if (operation->ended && operation->error != nullptr) {
      return operation->error;
    }
  }
  return nullptr;
}

bool HcclWork::isSuccess() const {
  return exception() == nullptr;
}

int HcclWork::sourceRank() const {
  TORCH_CHECK(!operations_.empty(), "[hccl] source_rank: the work has no operation");
  operations_.front()->wait({});
  operations_.front()->rethrow();
  return operations_.front()->source_rank;
}

std::vector<at::Tensor> HcclWork::result() {
  return outputs_;
}

void HcclWork::synchronize() {
  wait();
}

bool HcclWork::wait(std::chrono::milliseconds timeout) {
  for (const auto& operation : operations_) {
    if (blocking_ || timeout != kNoTimeout) {
      const bool ended = operation->wait(timeout);
      TORCH_CHECK_WITH(DistBackendError, ended, "[hccl] ", operation->name, ": wait() has timed out after ", timeout.count(),
                       " ms; the operation goes on");
    }
    operation->rethrow();
  }
  return true;
}

void HcclWork::abort() {
  for (const auto& operation : operations_) {
    std::lock_guard<std::mutex> lock(operation->mutex);
    if (operation->work != nullptr) {
      operation->work->abort();
    }
  }
}

c10::intrusive_ptr<c10::ivalue::Future> HcclWork::getFuture() {
  auto future = c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()));
  if (std::exception_ptr error = exception()) {
    future->setError(error);
  } else {
    future->markCompleted(c10::IValue(outputs_));
  }
  return future;
}

}  // namespace torch_hpu::distributed
