#include "csrc/train/step_graph.h"

#include <ATen/ops/empty_strided.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/stream.h>

namespace torch_hpu::train {
namespace {

// Tensors to capture with. Nothing runs in a capture, and calls put the given tensors in their place: only layouts count. They come from the host,
// so that there is nothing to compile, and no two share memory: the body does not write its inputs.
StaticInputs stand_ins_for(const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> like;
  for (const at::Tensor& t : inputs) {
    like.push_back(at::empty_strided(t.sizes(), t.strides(), t.options().device(at::kCPU)).zero_());
  }
  return StaticInputs(like);
}

}  // namespace

at::Tensor device_number(double value, c10::Device device) {
  return at::full({}, value, at::TensorOptions().dtype(at::kFloat)).to(device);
}

at::Tensor device_zeros_like(const at::Tensor& t) {
  return at::zeros_like(t, at::TensorOptions().device(at::kCPU), at::MemoryFormat::Preserve).to(t.device()).detach();
}

StepGraph::StepGraph(GraphCache::Body body) : body_(std::move(body)), stream_(new_stream()) {}

// By itself in its flush, as it is in a capture.
std::vector<at::Tensor> StepGraph::run(const std::vector<at::Tensor>& inputs) const {
  mark_step();
  std::vector<at::Tensor> results = body_(inputs);
  mark_step();
  return results;
}

void StepGraph::capture(const std::vector<at::Tensor>& inputs) {
  auto graph = std::make_unique<HPUGraph>();
  StaticInputs stand_ins = stand_ins_for(inputs);
  std::vector<at::Tensor> results;
  {
    const c10::StreamGuard stream(stream_);
    const HPUGraphCapture scope(*graph);
    results = body_(stand_ins.tensors());
  }
  const std::string difference = graph_ != nullptr ? graph_->difference(*graph) : "";
  TORCH_CHECK(difference.empty(),
              "[GaudiTrainer] use_hpu_graphs_for_training: the step changes from call to call, and a replay would freeze it: ", difference,
              ". Keep what changes in tensors on hpu.");
  call_ = std::make_unique<GraphCall>(*graph, std::move(stand_ins), std::move(results));
  graph_ = std::move(graph);
}

std::vector<at::Tensor> StepGraph::operator()(const std::vector<at::Tensor>& inputs) {
  const bool same = StaticInputs::has_signature(inputs, signature_);
  if (calls_ == 0 || (calls_ == 1 && !same)) {  // what comes twice in a row is captured
    calls_ = 1;
    signature_ = StaticInputs::signature(inputs);
    return run(inputs);
  }
  if (!same) {
    return run(inputs);
  }
  if (calls_ < 3) {
    ++calls_;
    capture(inputs);
  }
  return (*call_)(inputs);
}

}  // namespace torch_hpu::train
