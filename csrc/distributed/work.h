// What a collective's caller holds.
#pragma once

#include <torch/csrc/distributed/c10d/Work.hpp>

#include "csrc/distributed/operation.h"

namespace torch_hpu::distributed {

// Results are ordered by the memory they are in, so wait() without a time does not block: it throws if the collective has failed already. With a
// time it blocks until the end. A blocking work (barrier, operations without results) always does. The future is complete from the start, for
// the same reason.
class HcclWork final : public c10d::Work {
 public:
  HcclWork(int rank, c10d::OpType type, std::vector<std::shared_ptr<Operation>> operations, std::vector<at::Tensor> outputs,
           bool blocking = false);

  bool isCompleted() override;
  bool isSuccess() const override;  // true until a failure is known
  std::exception_ptr exception() const override;
  int sourceRank() const override;  // blocks
  std::vector<at::Tensor> result() override;
  void synchronize() override;
  bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
  void abort() override;
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;

 private:
  const std::vector<std::shared_ptr<Operation>> operations_;
  const std::vector<at::Tensor> outputs_;
  const bool blocking_;
};

}  // namespace torch_hpu::distributed
