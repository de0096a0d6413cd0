// Lowering: one graph node becomes loops and library calls. The table of lowerings is by op name; what has no entry, or whose
// entry declines (an unsupported dtype, a conj bit, a strange layout), stays an extern node.
#pragma once

#include <string_view>

#include "csrc/compiler/program.h"
#include "csrc/ir/op.h"

namespace torch_hpu::compiler {

// What a lowering sees of its node, and where it puts what it makes. Loops are written with loop_builder.h, library calls with library_calls.h.
struct LoweringContext {
  const ir::Graph& graph;
  const ir::Node& node;
  uint32_t node_index;
  Program& program;  // lowerings append items and temporaries

  const ir::Window& window(size_t arg) const {
    return graph.windows[node.args[arg].index];
  }
  const ir::Window& write(size_t i) const {
    return graph.windows[node.writes[i]];
  }
};

// Appends items that compute the node and returns true, or appends nothing and returns false.
using Lowering = bool (*)(LoweringContext&);

struct LoweringRow {
  std::string_view name;  // "softmax" row: "_softmax"; overloads by name: "add.Tensor"
  Lowering lower;
};

// Each family of lowerings is one file that offers its rows; lower.cpp collects them.
std::vector<LoweringRow> pointwise_lowerings();    // lower_pointwise.cpp and pointwise_*.cpp: pointwise ops, casts, copies, fills
std::vector<LoweringRow> random_lowerings();       // lower_random.cpp: random fills, dropout
std::vector<LoweringRow> reduction_lowerings();    // lower_reduction.cpp: sum ... argmax, var, norms of vectors
std::vector<LoweringRow> scan_lowerings();         // lower_scan.cpp: cumsum ... cummin
std::vector<LoweringRow> search_lowerings();       // lower_search.cpp: bucketize, searchsorted, isin
std::vector<LoweringRow> softmax_lowerings();      // lower_softmax.cpp
std::vector<LoweringRow> norm_lowerings();         // lower_norm.cpp: layer, group and batch norm
std::vector<LoweringRow> loss_lowerings();         // lower_loss.cpp: nll, mse, cross entropy, bce ...
std::vector<LoweringRow> optimizer_lowerings();    // lower_optimizer.cpp: fused SGD, Adam, AdamW
std::vector<LoweringRow> indexing_lowerings();     // lower_indexing.cpp: embedding, gather, index, index_select, take
std::vector<LoweringRow> region_lowerings();       // lower_regions.cpp: cat, tril, flip, roll, scatters into slices ...
std::vector<LoweringRow> image_lowerings();        // lower_image.cpp: pixel shuffles, im2col
std::vector<LoweringRow> upsample_lowerings();     // lower_upsample.cpp
std::vector<LoweringRow> pad_lowerings();          // lower_pad.cpp: reflection, replication
std::vector<LoweringRow> range_lowerings();        // lower_ranges.cpp: arange, linspace, eye ...
std::vector<LoweringRow> product_lowerings();      // lower_product.cpp: the matmul family
std::vector<LoweringRow> convolution_lowerings();  // lower_convolution.cpp
std::vector<LoweringRow> attention_lowerings();    // lower_attention.cpp
std::vector<LoweringRow> pooling_lowerings();      // lower_pooling.cpp
std::vector<LoweringRow> scatter_lowerings();      // lower_scatter.cpp: writes to places that data names

// The whole graph. Nodes whose op has no lowering become extern items.
Program lower(ir::Graph graph);

// The whole graph, every node by its ATen kernel.
Program all_extern(ir::Graph graph);

}  // namespace torch_hpu::compiler
