// The c10d backend "hccl": collectives of hpu tensors, on Gloo.
//
// What is guaranteed. Every collective is recorded: the call returns at once, also with async_op=False, and what comes before and after it in
// the program comes before and after it on the device, because the memories that it uses carry the order (see Note [Order of collectives]).
// Only barrier(), a wait() with a time and reading a result on the host block. Tensors of any layout and dtype may be given. Errors of use are
// thrown by the call; a failure on the way (a lost rank, the time-out) by the next wait(), synchronize() or read of a result, and it names the
// rank where that is known.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <memory>

#include "csrc/distributed/liveness.h"
#include "csrc/distributed/operation.h"
#include "csrc/distributed/reduction.h"

namespace torch_hpu::distributed {

class HcclBackend final : public c10d::Backend {
 public:
  // global_ranks: the names of the group's ranks in messages; empty: 0, 1, ...
  HcclBackend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, std::chrono::milliseconds timeout,
              std::vector<int64_t> global_ranks);
  ~HcclBackend() override;

  const std::string getBackendName() const override {
    return "hccl";
  }
  c10::intrusive_ptr<Options> getBackendOptions() override;
  void setTimeout(std::chrono::milliseconds timeout) override;
  void setSequenceNumberForGroup() override {}
  uint64_t getSequenceNumberForGroup() override {
    return sequence_;
  }
  void shutdown() override;
  void abort() override;

  // Makes an error, with the reason where it can be found, of the engine's message. For engines beside this one too: entered() notes their
  // collectives.
  std::function<std::exception_ptr(const std::string& message)> explain(const char* name) const;
  void entered(const char* name) const {
    liveness_->entered(name);
  }

  using Tensors = std::vector<at::Tensor>;
  using WorkPtr = c10::intrusive_ptr<c10d::Work>;
  WorkPtr broadcast(Tensors& tensors, const c10d::BroadcastOptions& opts) override;
  WorkPtr allreduce(Tensors& tensors, const c10d::AllreduceOptions& opts) override;
  WorkPtr allreduce_coalesced(Tensors& tensors, const c10d::AllreduceCoalescedOptions& opts) override;
  WorkPtr reduce(Tensors& tensors, const c10d::ReduceOptions& opts) override;
  WorkPtr allgather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::AllgatherOptions& opts) override;
  WorkPtr _allgather_base(at::Tensor& output, at::Tensor& input, const c10d::AllgatherOptions& opts) override;
  WorkPtr allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs, const c10d::AllgatherOptions& opts) override;
  WorkPtr allgather_coalesced(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::AllgatherOptions& opts) override;
  WorkPtr gather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::GatherOptions& opts) override;
  WorkPtr scatter(Tensors& outputs, std::vector<Tensors>& inputs, const c10d::ScatterOptions& opts) override;
  WorkPtr reduce_scatter(Tensors& outputs, std::vector<Tensors>& inputs, const c10d::ReduceScatterOptions& opts) override;
  WorkPtr _reduce_scatter_base(at::Tensor& output, at::Tensor& input, const c10d::ReduceScatterOptions& opts) override;
  WorkPtr reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs, const c10d::ReduceScatterOptions& opts) override;
  WorkPtr alltoall_base(at::Tensor& output, at::Tensor& input, std::vector<int64_t>& output_splits, std::vector<int64_t>& input_splits,
                        const c10d::AllToAllOptions& opts) override;
  WorkPtr alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions& opts) override;
  WorkPtr send(Tensors& tensors, int destination, int tag) override;
  WorkPtr recv(Tensors& tensors, int source, int tag) override;
  WorkPtr recvAnysource(Tensors& tensors, int tag) override;
  WorkPtr barrier(const c10d::BarrierOptions& opts) override;
  void monitoredBarrier(const c10d::BarrierOptions& opts, bool wait_all) override;

 private:
  using OperationPtr = std::shared_ptr<Operation>;
  using Kind = Lanes::Request::Kind;

  Lanes& lanes(const at::Tensor& tensor);
  OperationPtr enqueue(const char* name, std::vector<Operand> operands, Post post, Kind kind = Kind::kCollective);
  WorkPtr work(c10d::OpType type, std::vector<OperationPtr> operations, Tensors outputs) const;
  void check_rank(const char* name, const char* role, int64_t rank) const;
  const at::Tensor& only(const char* name, const Tensors& tensors) const;
  OperationPtr allreduce_one(const at::Tensor& tensor, const c10d::AllreduceOptions& opts);
  OperationPtr allgather_one(const at::Tensor& output, const at::Tensor& input, const c10d::AllgatherOptions& opts);
  OperationPtr reduce_scatter_one(const at::Tensor& output, const at::Tensor& input, const c10d::ReduceScatterOptions& opts);

  c10::intrusive_ptr<c10d::Backend> gloo_;
  std::shared_ptr<Liveness> liveness_;  // tasks that outlive the group ask it too
  std::mutex lanes_mutex_;
  std::shared_ptr<Lanes> lanes_;
  std::atomic<uint64_t> sequence_{0};
};

}  // namespace torch_hpu::distributed
