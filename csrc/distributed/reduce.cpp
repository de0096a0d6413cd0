// Collectives that compute.
#include <ATen/ATen.h>

#include "csrc/distributed/arguments.h"
#include "csrc/distributed/backend.h"

namespace torch_hpu::distributed {

HcclBackend::OperationPtr HcclBackend::allreduce_one(const at::Tensor& tensor, const c10d::AllreduceOptions& opts) {
  const at::NoGradGuard no_grad;
  check_tensor("all_reduce", tensor);
  const Reduction reduction("all_reduce", opts.reduceOp, tensor.scalar_type());
  const at::Tensor values = reduction.enter(tensor);
  c10d::AllreduceOptions engine_opts;
  engine_opts.reduceOp = reduction.engine_op();
  engine_opts.timeout = opts.timeout;
  auto operation = enqueue("all_reduce", {{values, reduction.view(), true, true}},
                           [gloo = gloo_, engine_opts](Tensors& views) { return gloo->allreduce(views, engine_opts); });
  reduction.leave(values, tensor, size_);
  return operation;
}

HcclBackend::WorkPtr HcclBackend::allreduce(Tensors& tensors, const c10d::AllreduceOptions& opts) {
  const at::Tensor& tensor = only("all_reduce", tensors);
  return work(c10d::OpType::ALLREDUCE, {allreduce_one(tensor, opts)}, {tensor});
}

HcclBackend::WorkPtr HcclBackend::allreduce_coalesced(Tensors& tensors, const c10d::AllreduceCoalescedOptions& opts) {
  std::vector<OperationPtr> operations;
  for (const at::Tensor& tensor : tensors) {
    operations.push_back(allreduce_one(tensor, opts));
  }
  return work(c10d::OpType::ALLREDUCE_COALESCED, std::move(operations), tensors);
}

// Only the root's tensor changes.
HcclBackend::WorkPtr HcclBackend::reduce(Tensors& tensors, const c10d::ReduceOptions& opts) {
  const at::NoGradGuard no_grad;
  const at::Tensor& tensor = only("reduce", tensors);
  check_rank("reduce", "destination", opts.rootRank);
  const Reduction reduction("reduce", opts.reduceOp, tensor.scalar_type());
  at::Tensor values = reduction.enter(tensor);
  const bool root = opts.rootRank == rank_;
  if (!root && values.is_same(tensor)) {
    values = values.clone();
  }
  c10d::ReduceOptions engine_opts = opts;
  engine_opts.reduceOp = reduction.engine_op();
  auto operation = enqueue("reduce", {{values, reduction.view(), true, true}},
                           [gloo = gloo_, engine_opts](Tensors& views) { return gloo->reduce(views, engine_opts); });
  if (root) {
    reduction.leave(values, tensor, size_);
  }
  return work(c10d::OpType::REDUCE, {operation}, {tensor});
}

// Gloo has no reduce_scatter but an all_reduce of everything.
HcclBackend::OperationPtr HcclBackend::reduce_scatter_one(const at::Tensor& output, const at::Tensor& given,
                                                          const c10d::ReduceScatterOptions& opts) {
  const at::NoGradGuard no_grad;
  check_tensor("reduce_scatter", given);
  check_like("reduce_scatter", "the output", output, given);
  check_numel("reduce_scatter", "the input", given, output.numel() * size_);
  const Reduction reduction("reduce_scatter", opts.reduceOp, given.scalar_type());
  at::Tensor values = reduction.enter(given);
  if (values.is_alias_of(given)) {
    values = values.clone();
  }
  c10d::AllreduceOptions engine_opts;
  engine_opts.reduceOp = reduction.engine_op();
  engine_opts.timeout = opts.timeout;
  auto operation = enqueue("reduce_scatter", {{values, reduction.view(), true, true}},
                           [gloo = gloo_, engine_opts](Tensors& views) { return gloo->allreduce(views, engine_opts); });
  reduction.leave(values.reshape({-1}).narrow(0, rank_ * output.numel(), output.numel()), output, size_);
  return operation;
}

HcclBackend::WorkPtr HcclBackend::_reduce_scatter_base(at::Tensor& output, at::Tensor& given, const c10d::ReduceScatterOptions& opts) {
  return work(c10d::OpType::_REDUCE_SCATTER_BASE, {reduce_scatter_one(output, given, opts)}, {output});
}

HcclBackend::WorkPtr HcclBackend::reduce_scatter(Tensors& outputs, std::vector<Tensors>& inputs, const c10d::ReduceScatterOptions& opts) {
  const at::NoGradGuard no_grad;
  const at::Tensor& output = only("reduce_scatter", outputs);
  check_count("reduce_scatter", "lists of inputs", inputs.size(), 1);
  check_count("reduce_scatter", "input tensors (one for each rank)", inputs[0].size(), static_cast<size_t>(size_));
  Tensors flat;
  for (const at::Tensor& t : inputs[0]) {
    check_like("reduce_scatter", "an input", t, output);
    check_numel("reduce_scatter", "an input", t, output.numel());
    flat.push_back(t.reshape({-1}));
  }
  return work(c10d::OpType::REDUCE_SCATTER, {reduce_scatter_one(output, at::cat(flat), opts)}, {output});
}

HcclBackend::WorkPtr HcclBackend::reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                                                  const c10d::ReduceScatterOptions& opts) {
  check_count("reduce_scatter", "outputs", outputs.size(), inputs.size());
  std::vector<OperationPtr> operations;
  for (size_t i = 0; i < inputs.size(); ++i) {
    operations.push_back(reduce_scatter_one(outputs[i], inputs[i], opts));
  }
  return work(c10d::OpType::REDUCE_SCATTER_TENSOR_COALESCED, std::move(operations), outputs);
}

}  // namespace torch_hpu::distributed
