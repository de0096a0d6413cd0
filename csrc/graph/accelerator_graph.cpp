// torch.accelerator.Graph and at::accelerator::Graph on this device.
#include <ATen/core/GraphImplInterface.h>
#include <torch_hpu/hpu_graph.h>

namespace torch_hpu {
namespace {

// Compiled at capture_end, whatever keep_graph says: there is no cheaper form that could be kept instead.
struct AcceleratorGraph final : at::GraphImplInterface {
  explicit AcceleratorGraph(const at::GraphImplArgs&) {}

  void capture_begin(c10::MempoolId_t pool, at::GraphCaptureMode mode) override {
    graph.capture_begin(pool, mode == at::GraphCaptureMode::Relaxed ? CaptureMode::kRelaxed : CaptureMode::kGlobal);
  }
  void capture_end() override {
    graph.capture_end();
  }
  void instantiate() override {
    TORCH_CHECK(graph.captured(), "[Graph] instantiate: nothing is captured; capture the graph first");
  }
  void replay() override {
    graph.replay();
  }
  void reset() override {
    graph.reset();
  }
  c10::MempoolId_t pool() const override {
    return graph.pool();
  }
  void enable_debug_mode() override {
    graph.enable_debug_mode();
  }
  void debug_dump(const std::string& path) override {
    graph.debug_dump(path);
  }

  HPUGraph graph;
};

}  // namespace
}  // namespace torch_hpu

namespace at {
REGISTER_GRAPH_IMPL(HPU, torch_hpu::AcceleratorGraph)
}
