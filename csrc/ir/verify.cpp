#include "csrc/ir/verify.h"

#include <c10/util/Exception.h>

#include "csrc/ir/op.h"

namespace torch_hpu::ir {
namespace {

void check_window(const Graph& g, size_t id) {
  const Window& w = g.windows[id];
  TORCH_INTERNAL_ASSERT(w.buffer < g.buffers.size(), "window w", id, " names buffer b", w.buffer, " of ", g.buffers.size());
  TORCH_INTERNAL_ASSERT(w.sizes.size() == w.strides.size(), "window w", id, " has ", w.sizes.size(), " sizes and ", w.strides.size(),
                        " strides");
  if (w.numel() == 0) {
    return;
  }
  int64_t low = w.offset, high = w.offset;
  for (size_t d = 0; d < w.sizes.size(); ++d) {
    const int64_t span = (w.sizes[d] - 1) * w.strides[d];
    (span < 0 ? low : high) += span;
  }
  const auto item = static_cast<int64_t>(c10::elementSize(w.dtype));
  TORCH_INTERNAL_ASSERT(low >= 0 && (high + 1) * item <= g.buffers[w.buffer].nbytes, "window w", id, " covers bytes ", low * item, " to ",
                        (high + 1) * item, " of a buffer of ", g.buffers[w.buffer].nbytes);
}

}  // namespace

void verify(const Graph& g) {
  for (size_t i = 0; i < g.windows.size(); ++i) {
    check_window(g, i);
  }
  std::vector<bool> defined(g.buffers.size());
  for (size_t b = 0; b < g.buffers.size(); ++b) {
    defined[b] = g.buffers[b].kind == BufferKind::kInput;
  }
  for (size_t n = 0; n < g.nodes.size(); ++n) {
    const Node& node = g.nodes[n];
    TORCH_INTERNAL_ASSERT(node.op != nullptr, "node ", n, " has no op");
    const std::string& name = node.op->name;
    const auto& schema = node.op->handle.schema();
    TORCH_INTERNAL_ASSERT(node.args.size() == schema.arguments().size(), "node ", n, " (", name, ") has ", node.args.size(),
                          " arguments, its schema ", schema.arguments().size());
    auto read = [&](WindowId w) {
      TORCH_INTERNAL_ASSERT(w < g.windows.size(), "node ", n, " (", name, ") reads window w", w, " of ", g.windows.size());
      TORCH_INTERNAL_ASSERT(defined[g.windows[w].buffer], "node ", n, " (", name, ") reads b", g.windows[w].buffer,
                            " before it is written");
    };
    for (size_t i = 0; i < node.args.size(); ++i) {
      const Arg& arg = node.args[i];
      if (arg.kind == Arg::Kind::kWindow && !(i == 0 && node.op->ignores_self) && !node.mutating) {
        read(arg.index);
      } else if (arg.kind == Arg::Kind::kWindowList) {
        TORCH_INTERNAL_ASSERT(arg.index + arg.count <= g.list_items.size(), "node ", n, " (", name,
                              ") has a list outside of the graph's items");
      } else if (arg.kind == Arg::Kind::kScalar || arg.kind == Arg::Kind::kScalarTensor) {
        TORCH_INTERNAL_ASSERT(arg.index < g.scalars.size(), "node ", n, " (", name, ") names scalar s", arg.index, " of ",
                              g.scalars.size());
      }
    }
    // Fewer: the last returns are nobody's (random states of attention).
    TORCH_INTERNAL_ASSERT(node.mutating || node.writes.size() <= schema.returns().size(), "node ", n, " (", name, ") has ",
                          node.writes.size(), " writes, its op ", schema.returns().size(), " returns");
    TORCH_INTERNAL_ASSERT(node.rng == kNone || node.rng + 1 < g.scalars.size(), "node ", n, " (", name, ") has no seed and offset");
    for (WindowId w : node.writes) {
      if (w != kNone) {
        TORCH_INTERNAL_ASSERT(w < g.windows.size(), "node ", n, " (", name, ") writes window w", w, " of ", g.windows.size());
        TORCH_INTERNAL_ASSERT(g.buffers[g.windows[w].buffer].written, "node ", n, " (", name, ") writes b", g.windows[w].buffer,
                              ", which is not marked as written");
        defined[g.windows[w].buffer] = true;
      }
    }
  }
}

}  // namespace torch_hpu::ir
