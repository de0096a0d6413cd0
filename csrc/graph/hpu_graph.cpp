#include <torch_hpu/hpu_graph.h>

#include <fstream>

#include "csrc/device/device.h"
#include "csrc/device/generator.h"
#include "csrc/graph/captured.h"
#include "csrc/graph/report.h"
#include "csrc/lazy/capture.h"
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

std::string graph_table() {
  return graph::table();
}

HPUGraph::HPUGraph() = default;

HPUGraph::~HPUGraph() {
  reset();
}

void HPUGraph::capture_begin(GraphPool pool, CaptureMode mode, bool execute) {
  TORCH_CHECK(captured_ == nullptr, "[HPUGraph] capture_begin: this graph holds a capture already; reset() it first");
  TORCH_CHECK(session_ == nullptr, "[HPUGraph] capture_begin: this graph is being captured already");
  session_ = std::make_unique<lazy::CaptureSession>(
      this_stream(), mode == CaptureMode::kRelaxed ? lazy::HostAccess::kRelaxed : lazy::HostAccess::kForbidden);
  execute_ = execute;
  pool_ = pool == GraphPool{0, 0} ? graph_pool_handle() : pool;
  device::retain_pool(pool_);
}

void HPUGraph::capture_end() {
  TORCH_CHECK(session_ != nullptr, "[HPUGraph] capture_end: no capture is open; call capture_begin() first");
  TORCH_CHECK(this_stream() == session_->stream(),
              "[HPUGraph] capture_end: the current stream is not the one that capture_begin() was called on");
  std::unique_ptr<lazy::Trace> trace = session_->end();
  session_ = nullptr;
  try {
    captured_ = std::make_unique<graph::Captured>(std::move(trace), pool_);
  } catch (...) {
    release_pool();
    throw;
  }
  count(Counter::kGraphCaptures);
  if (debug_) {
    captured_->measure();
  }
  if (execute_) {
    replay();
  }
}

void HPUGraph::capture_abort() noexcept {
  if (session_ != nullptr) {
    session_ = nullptr;
    release_pool();
  }
}

void HPUGraph::release_pool() noexcept {
  if (pool_ != GraphPool{0, 0}) {
    device::release_pool(pool_);
    pool_ = {0, 0};
  }
}

void HPUGraph::reset() {
  capture_abort();
  captured_.reset();
  release_pool();
}

graph::Captured& HPUGraph::checked(const char* what) const {
  TORCH_CHECK(captured_ != nullptr, "[HPUGraph] ", what, ": nothing is captured; capture the graph first");
  return *captured_;
}

void HPUGraph::replay() {
  checked("replay").replay(this_stream());
}

void HPUGraph::rebind(const at::Tensor& captured, const at::Tensor& replacement) {
  checked("rebind");
  for (const at::Tensor* t : {&captured, &replacement}) {
    TORCH_CHECK(t->defined() && t->device().type() == c10::DeviceType::PrivateUse1, "[HPUGraph] rebind: expected tensors on hpu");
  }
  captured_->rebind(captured, replacement);
}

GraphPool HPUGraph::pool() const {
  TORCH_CHECK(pool_ != GraphPool({0, 0}), "[HPUGraph] pool: nothing is captured");
  return pool_;
}

bool HPUGraph::captured() const {
  return captured_ != nullptr;
}

bool HPUGraph::uses(const at::Tensor& tensor) const {
  return checked("uses").buffer_of(tensor) != nullptr;
}

bool HPUGraph::writes(const at::Tensor& tensor) const {
  const ir::Buffer* buffer = checked("writes").buffer_of(tensor);
  return buffer != nullptr && buffer->written;
}

void HPUGraph::register_generator_state(const at::Generator& generator) {
  device::philox(generator);
}

void HPUGraph::enable_debug_mode() {
  debug_ = true;
  if (captured_ != nullptr) {
    captured_->measure();
  }
}

void HPUGraph::debug_dump(const std::string& path) const {
  const graph::Captured& captured = checked("debug_dump");
  std::ofstream out(path);
  out << (path.ends_with(".dot") ? graph::as_dot(captured) : path.ends_with(".json") ? graph::as_json(captured) : graph::as_text(captured));
  out.close();
  TORCH_CHECK(out.good(), "[HPUGraph] debug_dump: cannot write ", path);
}

std::map<std::string, int64_t> HPUGraph::statistics() const {
  return checked("statistics").statistics();
}

std::string HPUGraph::difference(const HPUGraph& other) const {
  return graph::difference(checked("difference"), other.checked("difference"));
}

HPUGraphCapture::HPUGraphCapture(HPUGraph& graph, GraphPool pool, CaptureMode mode, bool execute)
    : graph_(graph), exceptions_(std::uncaught_exceptions()) {
  graph_.capture_begin(pool, mode, execute);
}

HPUGraphCapture::~HPUGraphCapture() noexcept(false) {
  if (std::uncaught_exceptions() > exceptions_) {
    graph_.capture_abort();
  } else {
    graph_.capture_end();
  }
}

}  // namespace torch_hpu
