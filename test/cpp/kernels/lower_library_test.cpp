// Every lowering of a node to a library call, run as a recipe of one node and compared with the reference step on the same node.
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <functional>

#include "csrc/compiler/emit.h"
#include "csrc/compiler/lower.h"
#include "test/cpp/kernels/node_builder.h"

namespace torch_hpu {
namespace {

using testing::NodeBuilder;

// Runs the node by its lowering (which must take it) and by the reference step, each time into fresh copies of `outs`; make() adds everything
// but the writes. `in_place`: outs[0] also stands among the arguments, so it is passed to make().
void check(const std::function<void(NodeBuilder&, const std::vector<at::Tensor>&)>& make, const char* name, const char* overload,
           const std::vector<at::Tensor>& outs, double tolerance = 1e-4, bool lowered = true) {
  std::vector<at::Tensor> results[2];
  for (int way = 0; way < 2; ++way) {
    for (const at::Tensor& t : outs) {
      results[way].push_back(t.defined() ? at::empty_strided(t.sizes(), t.strides(), t.options()).copy_(t) : t);
    }
    NodeBuilder builder(name, overload);
    at::manual_seed(1);  // make() draws its arguments
    make(builder, results[way]);
    for (const at::Tensor& t : results[way]) {
      builder.write(t);
    }
    if (way == 0) {
      builder.run();
      continue;
    }
    ir::Graph graph = builder.graph();
    graph.nodes.push_back(builder.node());
    for (ir::WindowId w : builder.node().writes) {
      if (w != ir::kNone) {
        graph.buffers[graph.windows[w].buffer].written = true;
      }
    }
    const compiler::Program program = compiler::lower(graph);
    bool external = false;
    for (const compiler::Item& item : program.items) {
      external = external || item.kind == compiler::Item::Kind::kExtern;
    }
    EXPECT_EQ(external, !lowered) << name << '\n' << compiler::to_string(program);
    if (external) {
      return;
    }
    const auto recipe = compiler::emit(program);
    std::vector<std::byte> arena(static_cast<size_t>(recipe->arena_bytes) + 64);
    Invocation invocation = builder.invocation();
    std::vector<std::byte*> buffers;
    for (size_t b = 0; b < recipe->placements.size(); ++b) {
      auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(arena.data()) + 63) / 64 * 64);
      buffers.push_back(recipe->placements[b].in_arena ? aligned + recipe->placements[b].arena_offset : invocation.buffers[b]);
    }
    invocation.buffers = buffers.data();
    for (const auto& step : recipe->steps) {
      step->run(invocation);
    }
  }
  for (size_t i = 0; i < outs.size(); ++i) {
    if (outs[i].defined()) {
      EXPECT_TRUE(at::allclose(results[1][i].to(at::kDouble), results[0][i].to(at::kDouble), tolerance, tolerance, true))
          << name << " return " << i << ": largest error "
          << (results[1][i].to(at::kDouble) - results[0][i].to(at::kDouble)).abs().max().item<double>();
    }
  }
}

using Outs = const std::vector<at::Tensor>&;

TEST(LowerLibrary, Products) {
  const at::Tensor a = at::randn({5, 7}), b = at::randn({7, 6}), bias = at::randn({6}), x = at::randn({3, 5, 7}), y = at::randn({3, 7, 6});
  check([&](NodeBuilder& n, Outs) { n.tensor(a).tensor(b); }, "aten::mm", "", {at::empty({5, 6})});
  check([&](NodeBuilder& n, Outs) { n.tensor(a).tensor(b); }, "aten::mm", "", {at::empty({6, 5}).t()});
  check([&](NodeBuilder& n, Outs) { n.tensor(a).tensor(b); }, "aten::mm", "", {at::empty({5, 12}, at::kDouble).slice(1, 0, 12, 2)});
  check([&](NodeBuilder& n, Outs) { n.tensor(at::randn({5, 14}).slice(1, 0, 14, 2)).tensor(b.slice(1, 0, 1).expand({7, 6})); }, "aten::mm",
        "", {at::empty({5, 6})});
  check([&](NodeBuilder& n, Outs) { n.tensor(x).tensor(y); }, "aten::bmm", "", {at::empty({3, 5, 6})});
  for (double beta : {1.0, 0.5}) {
    check([&](NodeBuilder& n, Outs) { n.tensor(bias).tensor(a).tensor(b).scalar(beta).scalar(2.0); }, "aten::addmm", "",
          {at::empty({5, 6})});
    check([&](NodeBuilder& n, Outs o) { n.tensor(o[0]).tensor(a).tensor(b).scalar(beta).scalar(int64_t{1}); }, "aten::addmm", "",
          {at::randn({5, 6})});
  }
  check([&](NodeBuilder& n, Outs) { n.tensor(bias).tensor(a).tensor(b).scalar(int64_t{1}).scalar(int64_t{1}); }, "aten::addmm", "",
        {at::empty({5, 6})});
  check([&](NodeBuilder& n, Outs) { n.tensor(at::randn({3, 1, 6})).tensor(x).tensor(y).scalar(1.0).scalar(1.0); }, "aten::baddbmm", "",
        {at::empty({3, 5, 6})});
  check([&](NodeBuilder& n, Outs) { n.tensor(a).tensor(at::randn({14}).slice(0, 0, 14, 2)); }, "aten::mv", "", {at::empty({5})});
  check([&](NodeBuilder& n, Outs) { n.tensor(at::randn({5})).tensor(a).tensor(at::randn({7})).scalar(1.0).scalar(1.0); }, "aten::addmv", "",
        {at::empty({5})});
  check([&](NodeBuilder& n, Outs) { n.tensor(bias).tensor(b.select(0, 2)); }, "aten::dot", "", {at::empty({})});
  check([&](NodeBuilder& n, Outs) { n.tensor(a).tensor(at::randn({9, 7})).tensor(at::randn({9})); }, "aten::linear", "",
        {at::empty({5, 9})});
  const at::Tensor square = at::randn({4, 4});
  check([&](NodeBuilder& n, Outs o) { n.tensor(o[0]).tensor(o[0]); }, "aten::mm", "", {square});
  // What stays with ATen.
  const at::Tensor integers = at::ones({2, 2}, at::kLong), z = at::randn({2, 2}, at::kComplexFloat);
  check([&](NodeBuilder& n, Outs) { n.tensor(integers).tensor(integers); }, "aten::mm", "", {integers}, 0, false);
  check([&](NodeBuilder& n, Outs) { n.tensor(z.conj()).tensor(z); }, "aten::mm", "", {z}, 0, false);
}

TEST(LowerLibrary, Convolutions) {
  const at::Tensor x = at::randn({2, 4, 9, 8}), w = at::randn({6, 2, 3, 3}), bias = at::randn({6}), y = at::randn({2, 6, 9, 8});
  using V = std::vector<int64_t>;
  auto parameters = [](NodeBuilder& n) -> NodeBuilder& {
    return n.constant(V{1}).constant(V{1, 1}).constant(V{1}).constant(false).constant(V{0}).constant(int64_t{2});
  };
  check([&](NodeBuilder& n, Outs) { parameters(n.tensor(x).tensor(w).tensor(bias)); }, "aten::convolution", "", {y});
  check([&](NodeBuilder& n, Outs) { parameters(n.tensor(x).tensor(w).none()); }, "aten::convolution", "",
        {y.contiguous(at::MemoryFormat::ChannelsLast)});
  for (const auto& mask : {std::array<bool, 3>{true, true, true}, {false, true, false}, {true, false, true}}) {
    check([&](NodeBuilder& n,
              Outs) { parameters(n.tensor(y).tensor(x).tensor(w).constant(V{6})).constant(c10::List<bool>({mask[0], mask[1], mask[2]})); },
          "aten::convolution_backward", "", {mask[0] ? x : at::Tensor(), mask[1] ? w : at::Tensor(), mask[2] ? bias : at::Tensor()}, 1e-3);
  }
}

TEST(LowerLibrary, Attention) {
  const at::Tensor q = at::randn({2, 4, 5, 8}), k = at::randn({2, 2, 9, 8}), v = at::randn({2, 2, 9, 8}), lse = at::zeros({2, 4, 5}), none;
  check([&](NodeBuilder& n, Outs) { n.tensor(q).tensor(k).tensor(v).none().constant(0.0).constant(true).constant(false).none(); },
        "aten::_scaled_dot_product_fused_attention_overrideable", "", {q, lse, none, none, none, none, none, none, none});
  const at::Tensor mask = at::randn({5, 9});
  check([&](NodeBuilder& n,
            Outs) { n.tensor(q).tensor(k).tensor(v).tensor(mask).constant(0.0).constant(false).constant(false).constant(0.5); },
        "aten::_scaled_dot_product_fused_attention_overrideable", "", {q, lse, none, none, none, none, none, none, none});
  // Without a batch, and with rows that lie apart.
  const at::Tensor x = at::randn({4, 8, 5}).transpose(1, 2), y = at::randn({4, 9, 8});
  check([&](NodeBuilder& n, Outs) { n.tensor(x).tensor(y).tensor(y).tensor(mask).constant(0.0).constant(false).constant(false).none(); },
        "aten::_scaled_dot_product_fused_attention_overrideable", "",
        {at::empty({4, 5, 8}), at::empty({4, 5}), none, none, none, none, none, none, none});
  const at::Tensor out = at::empty_like(q);
  NodeBuilder("aten::_scaled_dot_product_fused_attention_overrideable")
      .tensor(q)
      .tensor(k)
      .tensor(v)
      .none()
      .constant(0.0)
      .constant(true)
      .constant(false)
      .none()
      .write(out)
      .write(lse)
      .run();
  check(
      [&](NodeBuilder& n, Outs) {
        n.tensor(at::ones_like(q))
            .tensor(q)
            .tensor(k)
            .tensor(v)
            .none()
            .constant(c10::List<bool>({true, true, true, false}))
            .tensor(out)
            .tensor(lse)
            .none()
            .none()
            .constant(int64_t{5})
            .constant(int64_t{9})
            .constant(0.0)
            .constant(true)
            .none()
            .none()
            .none();
      },
      "aten::_scaled_dot_product_fused_attention_overrideable_backward", "", {q, k, v, none});
}

TEST(LowerLibrary, Pooling) {
  using V = std::vector<int64_t>;
  const at::Tensor x = at::randn({2, 3, 8, 9});
  const auto [y, where] = at::max_pool2d_with_indices(x, {3, 3}, {2, 2}, {1, 1});
  auto window = [](NodeBuilder& n) -> NodeBuilder& { return n.constant(V{3, 3}).constant(V{2, 2}).constant(V{1, 1}); };
  check([&](NodeBuilder& n, Outs) { window(n.tensor(x)).constant(V{1, 1}).constant(false); }, "aten::max_pool2d_with_indices", "",
        {y, where}, 0);
  check([&](NodeBuilder& n, Outs) { n.tensor(x).constant(V{2, 2}).constant(V{}).constant(V{0}).constant(V{1}).constant(false); },
        "aten::max_pool2d_with_indices", "", {at::empty({2, 3, 4, 4}), at::Tensor()}, 0);
  check([&](NodeBuilder& n, Outs) { window(n.tensor(y).tensor(x)).constant(V{1, 1}).constant(false).tensor(where); },
        "aten::max_pool2d_with_indices_backward", "", {x});
  check([&](NodeBuilder& n, Outs) { window(n.tensor(x)).constant(false).constant(true).none(); }, "aten::avg_pool2d", "", {y});
  check([&](NodeBuilder& n, Outs) { window(n.tensor(y).tensor(x)).constant(false).constant(false).constant(int64_t{3}); },
        "aten::avg_pool2d_backward", "", {x});
  check([&](NodeBuilder& n, Outs) { n.tensor(x).constant(V{2, 4}); }, "aten::_adaptive_avg_pool2d", "", {at::empty({2, 3, 2, 4})});
  check([&](NodeBuilder& n, Outs) { n.tensor(at::ones({2, 3, 2, 4})).tensor(x); }, "aten::_adaptive_avg_pool2d_backward", "", {x});
}

TEST(LowerLibrary, Scatters) {
  const at::Tensor index = at::randint(0, 6, {4, 3}), grad = at::randn({4, 3, 5});
  check([&](NodeBuilder& n, Outs) { n.tensor(grad).tensor(index).constant(int64_t{6}).constant(int64_t{-1}).constant(false); },
        "aten::embedding_dense_backward", "", {at::empty({6, 5})});
  const at::Tensor base = at::randn({6, 3}), src = at::randn({4, 3}), rows = at::randint(0, 6, {4});
  check([&](NodeBuilder& n, Outs) { n.tensor(base).constant(int64_t{0}).tensor(index).tensor(src); }, "aten::scatter_add", "",
        {at::empty({6, 3})});
  check([&](NodeBuilder& n, Outs o) { n.tensor(o[0]).constant(int64_t{0}).tensor(index).tensor(src); }, "aten::scatter_add", "", {base});
  check([&](NodeBuilder& n, Outs o) { n.tensor(o[0]).constant(int64_t{0}).tensor(rows).tensor(src).scalar(0.5); }, "aten::index_add", "",
        {base});
  check([&](NodeBuilder& n,
            Outs) { n.tensor(base).tensors({at::Tensor(), at::tensor({2, 0}, at::kLong)}).tensor(at::randn({1})).constant(false); },
        "aten::index_put", "", {at::empty({6, 3})});
  check([&](NodeBuilder& n, Outs o) { n.tensor(o[0]).tensors({rows}).tensor(src).constant(true); }, "aten::index_put", "", {base});
  check([&](NodeBuilder& n, Outs o) { n.tensor(o[0]).tensors({base.gt(0)}).tensor(at::zeros({1})).constant(false); }, "aten::index_put", "",
        {base});
}

}  // namespace
}  // namespace torch_hpu
