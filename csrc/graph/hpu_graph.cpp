#include <torch_hpu/hpu_graph.h>

#include <fstream>

#include <ATen/ops/empty_strided.h>
#include <c10/core/GradMode.h>

#include "csrc/device/device.h"
#include "csrc/graph/captured.h"
#include "csrc/lazy/capture.h"
#include "csrc/lazy/sync.h"
#include "csrc/support/counters.h"

namespace torch_hpu {
namespace {

c10::Stream this_stream() {
  return device::current_stream(device::current_device());
}

}  // namespace

GraphPool graph_pool_handle() {
  return device::create_pool(device::current_device());
}

bool is_current_stream_capturing() {
  return lazy::capturing(this_stream());
}

HPUGraph::HPUGraph() : stream_(device::default_stream(0)) {}

HPUGraph::~HPUGraph() {
  capture_abort();
  reset();
}

void HPUGraph::capture_begin(GraphPool pool, bool execute) {
  TORCH_CHECK(captured_ == nullptr, "[HPUGraph] capture_begin: this graph holds a capture already; reset() it first");
  TORCH_CHECK(!capturing_, "[HPUGraph] capture_begin: this graph is being captured already");
  stream_ = this_stream();
  lazy::begin_capture(stream_);
  capturing_ = true;
  execute_ = execute;
  owns_pool_ = pool == GraphPool{0, 0};
  pool_ = owns_pool_ ? graph_pool_handle() : pool;
}

void HPUGraph::capture_end() {
  TORCH_CHECK(capturing_, "[HPUGraph] capture_end: no capture is open; call capture_begin() first");
  TORCH_CHECK(this_stream() == stream_, "[HPUGraph] capture_end: the current stream is not the one that capture_begin() was called on");
  capturing_ = false;
  captured_ = std::make_unique<graph::Captured>(lazy::end_capture(stream_), pool_);
  count(Counter::kGraphCaptures);
  if (execute_) {
    replay();
  }
}

void HPUGraph::capture_abort() noexcept {
  if (capturing_) {
    capturing_ = false;
    lazy::abort_capture(stream_);
    reset();
  }
}

void HPUGraph::replay() {
  TORCH_CHECK(captured_ != nullptr, "[HPUGraph] replay: nothing is captured; capture the graph first");
  TORCH_CHECK(!lazy::capturing(this_stream()), "[HPUGraph] replay: the current stream is being captured; graphs cannot be nested");
  captured_->replay(this_stream());
}

void HPUGraph::reset() {
  captured_.reset();
  if (owns_pool_) {
    device::release_pool(pool_);
    owns_pool_ = false;
  }
  pool_ = {0, 0};
}

GraphPool HPUGraph::pool() const {
  TORCH_CHECK(capturing_ || captured_ != nullptr, "[HPUGraph] pool: nothing is captured");
  return pool_;
}

bool HPUGraph::captured() const {
  return captured_ != nullptr;
}

void HPUGraph::debug_dump(const std::string& path) const {
  TORCH_CHECK(captured_ != nullptr, "[HPUGraph] debug_dump: nothing is captured");
  std::ofstream out(path);
  out << captured_->text();
  TORCH_CHECK(out.good(), "[HPUGraph] debug_dump: cannot write ", path);
}

std::map<std::string, int64_t> HPUGraph::statistics() const {
  TORCH_CHECK(captured_ != nullptr, "[HPUGraph] statistics: nothing is captured");
  return captured_->statistics();
}

HPUGraphCapture::HPUGraphCapture(HPUGraph& graph, GraphPool pool, bool execute) : graph_(graph), exceptions_(std::uncaught_exceptions()) {
  graph_.capture_begin(pool, execute);
}

HPUGraphCapture::~HPUGraphCapture() noexcept(false) {
  if (std::uncaught_exceptions() > exceptions_) {
    graph_.capture_abort();
  } else {
    graph_.capture_end();
  }
}

struct GraphedCallable::Entry {
  std::vector<at::Tensor> inputs;  // static
  std::vector<at::Tensor> outputs;
  HPUGraph graph;

  bool fits(const std::vector<at::Tensor>& given) const {
    if (given.size() != inputs.size()) {
      return false;
    }
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i].dtype() != inputs[i].dtype() || !given[i].sizes().equals(inputs[i].sizes()) ||
          !given[i].strides().equals(inputs[i].strides())) {
        return false;
      }
    }
    return true;
  }
};

GraphedCallable::GraphedCallable(Function function, size_t max_graphs)
    : function_(std::move(function)), max_graphs_(std::max<size_t>(1, max_graphs)) {}

GraphedCallable::~GraphedCallable() = default;

std::vector<at::Tensor> GraphedCallable::operator()(const std::vector<at::Tensor>& inputs) {
  const c10::AutoGradMode no_grad(false);
  for (const at::Tensor& t : inputs) {
    TORCH_CHECK(t.defined() && t.device().type() == c10::DeviceType::PrivateUse1,
                "[wrap_in_hpu_graph] expected inputs on hpu; move them with .to(torch_hpu::kDevice)");
  }
  auto it = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e->fits(inputs); });
  if (it == entries_.end()) {
    auto entry = std::make_unique<Entry>();
    for (const at::Tensor& t : inputs) {
      entry->inputs.push_back(at::empty_strided(t.sizes(), t.strides(), t.options()).copy_(t));
    }
    {
      const HPUGraphCapture capture(entry->graph);
      entry->outputs = function_(entry->inputs);
    }
    entries_.insert(entries_.begin(), std::move(entry));
    if (entries_.size() > max_graphs_) {
      entries_.pop_back();
    }
  } else {
    std::rotate(entries_.begin(), it, it + 1);
    for (size_t i = 0; i < inputs.size(); ++i) {
      entries_[0]->inputs[i].copy_(inputs[i]);
    }
  }
  entries_[0]->graph.replay();
  std::vector<at::Tensor> results;
  for (const at::Tensor& t : entries_[0]->outputs) {
    results.push_back(t.clone());
  }
  return results;
}

at::Tensor GraphedCallable::operator()(const at::Tensor& input) {
  return (*this)(std::vector<at::Tensor>{input}).at(0);
}

size_t GraphedCallable::graphs() const {
  return entries_.size();
}

void GraphedCallable::clear() {
  entries_.clear();
}

}  // namespace torch_hpu
