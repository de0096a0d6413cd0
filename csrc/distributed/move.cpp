// Collectives that move values: the engine sees bytes, so all dtypes travel.
#include <ATen/ATen.h>

#include "csrc/distributed/arguments.h"
#include "csrc/distributed/backend.h"

namespace torch_hpu::distributed {

HcclBackend::WorkPtr HcclBackend::broadcast(Tensors& tensors, const c10d::BroadcastOptions& opts) {
  const at::NoGradGuard no_grad;
  const at::Tensor& tensor = only("broadcast", tensors);
  check_rank("broadcast", "source", opts.rootRank);
  const bool root = opts.rootRank == rank_;
  const Output output(tensor);
  const Operand operand = root ? input(tensor) : output.operand();
  auto operation = enqueue("broadcast", {operand}, [gloo = gloo_, opts](Tensors& views) { return gloo->broadcast(views, opts); });
  if (!root) {
    output.leave();
  }
  return work(c10d::OpType::BROADCAST, {operation}, {tensor});
}

HcclBackend::WorkPtr HcclBackend::allgather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::AllgatherOptions& opts) {
  const at::NoGradGuard no_grad;
  const at::Tensor& own = only("all_gather", inputs);
  check_count("all_gather", "lists of outputs", outputs.size(), 1);
  check_count("all_gather", "output tensors (one for each rank)", outputs[0].size(), static_cast<size_t>(size_));
  std::vector<Output> places;
  std::vector<Operand> operands{input(own)};
  for (const at::Tensor& output : outputs[0]) {
    check_like("all_gather", "an output", output, own);
    check_numel("all_gather", "an output", output, own.numel());
    operands.push_back(places.emplace_back(output).operand());
  }
  auto operation = enqueue("all_gather", std::move(operands), [gloo = gloo_, opts](Tensors& views) {
    std::vector<Tensors> out{part(views, 1, views.size())};
    Tensors in{views[0]};
    return gloo->allgather(out, in, opts);
  });
  for (const Output& place : places) {
    place.leave();
  }
  return work(c10d::OpType::ALLGATHER, {operation}, outputs[0]);
}

HcclBackend::OperationPtr HcclBackend::allgather_one(const at::Tensor& output, const at::Tensor& own, const c10d::AllgatherOptions& opts) {
  const at::NoGradGuard no_grad;
  check_tensor("all_gather_into_tensor", own);
  check_like("all_gather_into_tensor", "the output", output, own);
  check_numel("all_gather_into_tensor", "the output", output, own.numel() * size_);
  const Output place(output);
  auto operation = enqueue("all_gather_into_tensor", {place.operand(), input(own)},
                           [gloo = gloo_, opts](Tensors& views) { return gloo->_allgather_base(views[0], views[1], opts); });
  place.leave();
  return operation;
}

HcclBackend::WorkPtr HcclBackend::_allgather_base(at::Tensor& output, at::Tensor& own, const c10d::AllgatherOptions& opts) {
  return work(c10d::OpType::_ALLGATHER_BASE, {allgather_one(output, own, opts)}, {output});
}

HcclBackend::WorkPtr HcclBackend::allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs, const c10d::AllgatherOptions& opts) {
  check_count("all_gather_into_tensor", "outputs", outputs.size(), inputs.size());
  std::vector<OperationPtr> operations;
  for (size_t i = 0; i < inputs.size(); ++i) {
    operations.push_back(allgather_one(outputs[i], inputs[i], opts));
  }
  return work(c10d::OpType::COALESCED, std::move(operations), outputs);
}

// outputs: for each rank the gathered inputs.
HcclBackend::WorkPtr HcclBackend::allgather_coalesced(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::AllgatherOptions& opts) {
  check_count("all_gather_coalesced", "lists of outputs (one for each rank)", outputs.size(), static_cast<size_t>(size_));
  WorkPtr last;
  for (size_t i = 0; i < inputs.size(); ++i) {
    std::vector<Tensors> gathered(1);
    for (const Tensors& list : outputs) {
      check_count("all_gather_coalesced", "outputs of a rank", list.size(), inputs.size());
      gathered[0].push_back(list[i]);
    }
    Tensors one{inputs[i]};
    last = allgather(gathered, one, opts);
  }
  TORCH_CHECK_VALUE(last != nullptr, "[hccl] all_gather_coalesced: got no tensors");
  return last;  // collectives end in order
}

HcclBackend::WorkPtr HcclBackend::gather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::GatherOptions& opts) {
  const at::NoGradGuard no_grad;
  const at::Tensor& own = only("gather", inputs);
  check_rank("gather", "destination", opts.rootRank);
  const bool root = opts.rootRank == rank_;
  check_count("gather", "lists of outputs", outputs.size(), root ? 1 : 0);
  std::vector<Output> places;
  std::vector<Operand> operands{input(own)};
  if (root) {
    check_count("gather", "output tensors (one for each rank)", outputs[0].size(), static_cast<size_t>(size_));
    for (const at::Tensor& output : outputs[0]) {
      check_like("gather", "an output", output, own);
      check_numel("gather", "an output", output, own.numel());
      operands.push_back(places.emplace_back(output).operand());
    }
  }
  auto operation = enqueue("gather", std::move(operands), [gloo = gloo_, opts](Tensors& views) {
    std::vector<Tensors> out;
    if (views.size() > 1) {
      out.push_back(part(views, 1, views.size()));
    }
    Tensors in{views[0]};
    return gloo->gather(out, in, opts);
  });
  for (const Output& place : places) {
    place.leave();
  }
  return work(c10d::OpType::GATHER, {operation}, root ? outputs[0] : Tensors{});
}

HcclBackend::WorkPtr HcclBackend::scatter(Tensors& outputs, std::vector<Tensors>& inputs, const c10d::ScatterOptions& opts) {
  const at::NoGradGuard no_grad;
  const at::Tensor& own = only("scatter", outputs);
  check_rank("scatter", "source", opts.rootRank);
  const bool root = opts.rootRank == rank_;
  check_count("scatter", "lists of inputs", inputs.size(), root ? 1 : 0);
  const Output place(own);
  std::vector<Operand> operands{place.operand()};
  if (root) {
    check_count("scatter", "input tensors (one for each rank)", inputs[0].size(), static_cast<size_t>(size_));
    for (const at::Tensor& t : inputs[0]) {
      check_like("scatter", "an input", t, own);
      check_numel("scatter", "an input", t, own.numel());
      operands.push_back(input(t));
    }
  }
  auto operation = enqueue("scatter", std::move(operands), [gloo = gloo_, opts](Tensors& views) {
    std::vector<Tensors> in;
    if (views.size() > 1) {
      in.push_back(part(views, 1, views.size()));
    }
    Tensors out{views[0]};
    return gloo->scatter(out, in, opts);
  });
  place.leave();
  return work(c10d::OpType::SCATTER, {operation}, {own});
}

HcclBackend::WorkPtr HcclBackend::alltoall_base(at::Tensor& output, at::Tensor& given, std::vector<int64_t>& output_splits,
                                                std::vector<int64_t>& input_splits, const c10d::AllToAllOptions& opts) {
  const at::NoGradGuard no_grad;
  check_tensor("all_to_all_single", given);
  check_like("all_to_all_single", "the output", output, given);
  // Rows become runs of bytes: the engine counts splits along the first dimension.
  const auto row_bytes = [](const at::Tensor& t) {
    int64_t bytes = static_cast<int64_t>(t.itemsize());
    for (int64_t d = 1; d < t.dim(); ++d) {
      bytes *= t.size(d);
    }
    return bytes;
  };
  const auto in_bytes = [&](const at::Tensor& t, const std::vector<int64_t>& splits, const char* role) {
    TORCH_CHECK_VALUE(t.dim() > 0, "[hccl] all_to_all_single: ", role, " has no dimension to split");
    std::vector<int64_t> rows = splits;
    if (rows.empty()) {
      TORCH_CHECK_VALUE(t.size(0) % size_ == 0, "[hccl] all_to_all_single: ", role, " has ", t.size(0),
                        " rows, expected a multiple of the group's size ", size_, " or explicit split sizes");
      rows.assign(static_cast<size_t>(size_), t.size(0) / size_);
    }
    check_count("all_to_all_single", "split sizes", rows.size(), static_cast<size_t>(size_));
    int64_t total = 0;
    for (int64_t& n : rows) {
      TORCH_CHECK_VALUE(n >= 0, "[hccl] all_to_all_single: got the split size ", n, ", expected none below 0");
      total += n;
      n *= row_bytes(t);
    }
    TORCH_CHECK_VALUE(total == t.size(0), "[hccl] all_to_all_single: the split sizes of ", role, " add up to ", total, ", expected its ",
                      t.size(0), " rows");
    return rows;
  };
  const std::vector<int64_t> out_rows = in_bytes(output, output_splits, "the output"), in_rows = in_bytes(given, input_splits, "the input");
  const Output place(output);
  auto operation = enqueue("all_to_all_single", {place.operand(), input(given)}, [gloo = gloo_, opts, out_rows, in_rows](Tensors& views) {
    auto out = out_rows, in = in_rows;
    return gloo->alltoall_base(views[0], views[1], out, in, opts);
  });
  place.leave();
  return work(c10d::OpType::ALLTOALL_BASE, {operation}, {output});
}

HcclBackend::WorkPtr HcclBackend::alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions& opts) {
  const at::NoGradGuard no_grad;
  check_count("all_to_all", "input tensors (one for each rank)", inputs.size(), static_cast<size_t>(size_));
  check_count("all_to_all", "output tensors (one for each rank)", outputs.size(), static_cast<size_t>(size_));
  std::vector<Output> places;
  std::vector<Operand> operands;
  std::vector<int64_t> out_bytes, in_bytes;
  Tensors flat;
  check_tensor("all_to_all", inputs[0]);
  for (const at::Tensor& t : inputs) {
    check_like("all_to_all", "an input", t, inputs[0]);
    in_bytes.push_back(t.numel() * static_cast<int64_t>(t.itemsize()));
    flat.push_back(t.reshape({-1}));
  }
  int64_t numel = 0;
  for (const at::Tensor& t : outputs) {
    check_like("all_to_all", "an output", t, inputs[0]);
    out_bytes.push_back(t.numel() * static_cast<int64_t>(t.itemsize()));
    numel += t.numel();
  }
  const at::Tensor sent = at::cat(flat), received = at::empty({numel}, sent.options());
  auto operation =
      enqueue("all_to_all", {{received, kBytes, false, true}, input(sent)}, [gloo = gloo_, opts, out_bytes, in_bytes](Tensors& views) {
        auto out = out_bytes, in = in_bytes;
        return gloo->alltoall_base(views[0], views[1], out, in, opts);
      });
  int64_t begin = 0;
  for (const at::Tensor& t : outputs) {
    t.copy_(received.narrow(0, begin, t.numel()).view(t.sizes()));
    begin += t.numel();
  }
  return work(c10d::OpType::ALLTOALL, {operation}, outputs);
}

HcclBackend::WorkPtr HcclBackend::send(Tensors& tensors, int destination, int tag) {
  const at::NoGradGuard no_grad;
  const at::Tensor& tensor = only("send", tensors);
  check_rank("send", "destination", destination);
  auto operation = enqueue(
      "send", {input(tensor)}, [gloo = gloo_, destination, tag](Tensors& views) { return gloo->send(views, destination, tag); },
      Kind::kSend);
  return work(c10d::OpType::SEND, {operation}, {tensor});
}

HcclBackend::WorkPtr HcclBackend::recv(Tensors& tensors, int source, int tag) {
  const at::NoGradGuard no_grad;
  const at::Tensor& tensor = only("recv", tensors);
  check_rank("recv", "source", source);
  const Output place(tensor);
  auto operation = enqueue(
      "recv", {place.operand()}, [gloo = gloo_, source, tag](Tensors& views) { return gloo->recv(views, source, tag); }, Kind::kReceive);
  place.leave();
  return work(c10d::OpType::RECV, {operation}, {tensor});
}

HcclBackend::WorkPtr HcclBackend::recvAnysource(Tensors& tensors, int tag) {
  const at::NoGradGuard no_grad;
  const at::Tensor& tensor = only("recv", tensors);
  const Output place(tensor);
  auto operation =
      enqueue("recv", {place.operand()}, [gloo = gloo_, tag](Tensors& views) { return gloo->recvAnysource(views, tag); }, Kind::kReceive);
  place.leave();
  return work(c10d::OpType::RECVANYSOURCE, {operation}, {tensor});
}

}  // namespace torch_hpu::distributed
