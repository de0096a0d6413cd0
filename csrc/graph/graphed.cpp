#include <torch_hpu/graphed.h>

#include <torch_hpu/graph_call.h>

#include <ATen/ops/clone.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>

#include <algorithm>

#include "csrc/device/device.h"

namespace torch_hpu {
namespace {

// A stream of the thread's own, so that a capture takes up nothing of what other threads do meanwhile.
c10::Stream capture_stream() {
  thread_local const c10::Stream stream = device::new_stream(device::current_device());
  return stream.device_index() == device::current_device() ? stream : device::new_stream(device::current_device());
}

std::vector<at::Tensor> capture(HPUGraph& graph, const std::vector<at::Tensor>& inputs, const GraphCache::Body& body) {
  const c10::StreamGuard stream(capture_stream());
  const HPUGraphCapture scope(graph);
  return body(inputs);
}

// Without what autograd keeps for them.
void detach(std::vector<at::Tensor>& tensors) {
  for (at::Tensor& t : tensors) {
    t = t.defined() ? t.detach() : t;
  }
}

std::vector<at::Tensor> fresh(std::vector<at::Tensor> tensors) {
  const c10::AutoGradMode no_grad(false);
  detach(tensors);
  for (at::Tensor& t : tensors) {
    t = t.defined() ? t.clone() : t;
  }
  return tensors;
}

void check_inputs(const std::vector<at::Tensor>& inputs, const char* what) {
  for (const at::Tensor& t : inputs) {
    TORCH_CHECK(t.defined() && t.device().type() == c10::DeviceType::PrivateUse1, "[", what,
                "] expected inputs on hpu; move them with .to(torch_hpu::kDevice)");
  }
}

}  // namespace

struct GraphCache::Entry {
  std::vector<int64_t> signature;
  std::unique_ptr<HPUGraph> graph;
  GraphCall call;
};

GraphCache::GraphCache(size_t max_graphs) : max_graphs_(std::max<size_t>(1, max_graphs)) {}
GraphCache::~GraphCache() = default;
GraphCache::GraphCache(GraphCache&&) noexcept = default;
GraphCache& GraphCache::operator=(GraphCache&&) noexcept = default;

std::vector<at::Tensor> GraphCache::run(const std::vector<at::Tensor>& inputs, const std::vector<int64_t>& structure, const Body& body) {
  const c10::AutoGradMode no_grad(false);
  check_inputs(inputs, "wrap_in_hpu_graph");
  std::vector<int64_t> signature = StaticInputs::signature(inputs);
  signature.insert(signature.end(), structure.begin(), structure.end());
  const auto it = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.signature == signature; });
  if (it == entries_.end()) {
    auto graph = std::make_unique<HPUGraph>();
    StaticInputs stand_ins(inputs);
    std::vector<at::Tensor> results = capture(*graph, stand_ins.tensors(), body);
    detach(results);
    GraphCall call(*graph, std::move(stand_ins), std::move(results));
    entries_.push_front({std::move(signature), std::move(graph), std::move(call)});
    if (entries_.size() > max_graphs_) {
      entries_.pop_back();
    }
  } else {
    entries_.splice(entries_.begin(), entries_, it);
  }
  return entries_.front().call(inputs);
}

size_t GraphCache::size() const {
  return entries_.size();
}

void GraphCache::clear() {
  entries_.clear();
}

struct GraphedStep::State {
  Body body;
  int calls = 0;
  std::vector<int64_t> signature;
  std::unique_ptr<HPUGraph> graph;
  std::unique_ptr<GraphCall> call;
};

GraphedStep::GraphedStep(Body body) : state_(std::make_unique<State>()) {
  state_->body = std::move(body);
}
GraphedStep::~GraphedStep() = default;
GraphedStep::GraphedStep(GraphedStep&&) noexcept = default;

bool GraphedStep::replays() const {
  return state_->calls >= 4;
}

std::vector<at::Tensor> GraphedStep::operator()(const std::vector<at::Tensor>& inputs) {
  State& s = *state_;
  check_inputs(inputs, "make_graphed_step");
  if (s.calls < 2) {  // gradients and the optimizer's state come into being
    ++s.calls;
    return fresh(s.body(inputs));
  }
  std::vector<int64_t> signature = StaticInputs::signature(inputs);
  TORCH_CHECK(s.graph == nullptr || signature == s.signature,
              "[make_graphed_step] the inputs' shapes, dtypes or strides are not those of the capture; make one step per signature");
  if (!replays()) {
    // The step's work on the host (counting steps, reading rates) is done once per step by the body, so each capture stands for one step.
    auto graph = std::make_unique<HPUGraph>();
    StaticInputs stand_ins(inputs);
    std::vector<at::Tensor> results = capture(*graph, stand_ins.tensors(), s.body);
    const std::string difference = s.graph != nullptr ? s.graph->difference(*graph) : "";
    TORCH_CHECK(difference.empty(), "[make_graphed_step] the step changes from call to call, and a replay would freeze it: ", difference,
                ". Keep what changes in tensors on hpu, and optimizers to those that do not count on the host.");
    s.signature = std::move(signature);
    detach(results);
    s.call = std::make_unique<GraphCall>(*graph, std::move(stand_ins), std::move(results));
    s.graph = std::move(graph);
    ++s.calls;
  }
  return (*s.call)(inputs);
}

GraphedStep make_graphed_step(GraphedStep::Body body) {
  return GraphedStep(std::move(body));
}

}  // namespace torch_hpu
