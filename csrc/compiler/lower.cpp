#include "csrc/compiler/lower.h"

#include <unordered_map>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/access.h"

namespace torch_hpu::compiler {
namespace {

const std::unordered_map<std::string_view, Lowering>& table() {
  static const auto* rows = [] {
    auto* map = new std::unordered_map<std::string_view, Lowering>;
    for (const auto& family :
         {pointwise_lowerings(), random_lowerings(),      reduction_lowerings(), scan_lowerings(),      search_lowerings(),
          softmax_lowerings(),   norm_lowerings(),        loss_lowerings(),      optimizer_lowerings(), indexing_lowerings(),
          region_lowerings(),    image_lowerings(),       pad_lowerings(),       upsample_lowerings(),  range_lowerings(),
          product_lowerings(),   convolution_lowerings(), attention_lowerings(), pooling_lowerings(),   scatter_lowerings()}) {
      for (const LoweringRow& row : family) {
        map->emplace(row.name, row.lower);
      }
    }
    return map;
  }();
  return *rows;
}

// Whether the node has anything to compute: not when everything that it writes is empty.
bool writes_elements(const ir::Graph& graph, const ir::Node& node) {
  for (ir::WindowId w : node.writes) {
    if (w != ir::kNone && graph.windows[w].numel() > 0) {
      return true;
    }
  }
  return node.writes.empty();
}

// Stores of a node must not meet its loads, unless point by point: a node reads everything before it writes.
bool stores_are_safe(const Program& program, size_t first_item) {
  for (size_t i = first_item; i < program.items.size(); ++i) {
    const codegen::Loop& loop = program.items[i].loop;
    if (program.items[i].kind != Item::Kind::kLoop) {
      continue;
    }
    for (const codegen::Store& s : loop.stores) {
      const codegen::Access& target = loop.accesses[s.access];
      if (target.buffer >= program.graph->buffers.size()) {
        continue;  // a temporary of the lowering
      }
      for (size_t j = first_item; j < program.items.size(); ++j) {
        if (program.items[j].kind != Item::Kind::kLoop) {
          continue;
        }
        const codegen::Loop& other = program.items[j].loop;
        for (const codegen::Expr& e : other.exprs) {
          if (!codegen::is_load(e.op)) {
            continue;
          }
          const codegen::Access& source = other.accesses[static_cast<size_t>(e.imm_i)];
          if (source.buffer != target.buffer || j < i) {  // an earlier item has read by then
            continue;
          }
          const bool plain = e.op == codegen::Op::kLoad;
          const bool point_by_point = plain && i == j && same_map(*program.graph, source, target);
          if (!point_by_point && (!plain || may_overlap(*program.graph, source, other.sizes, target, loop.sizes))) {
            return false;
          }
        }
      }
    }
  }
  return true;
}

}  // namespace

namespace {

Program start(ir::Graph graph) {
  Program program;
  program.buffers = graph.buffers;
  program.graph = std::make_shared<const ir::Graph>(std::move(graph));
  return program;
}

Item extern_item(uint32_t node) {
  Item item;
  item.kind = Item::Kind::kExtern;
  item.node = node;
  return item;
}

}  // namespace

Program all_extern(ir::Graph graph) {
  Program program = start(std::move(graph));
  for (uint32_t i = 0; i < program.graph->nodes.size(); ++i) {
    program.items.push_back(extern_item(i));
  }
  return program;
}

Program lower(ir::Graph recorded) {
  Program program = start(std::move(recorded));
  const ir::Graph& graph = *program.graph;
  for (uint32_t i = 0; i < graph.nodes.size(); ++i) {
    const ir::Node& node = graph.nodes[i];
    if (!writes_elements(graph, node)) {
      continue;
    }
    const std::string_view name = node.op->name;
    const auto row = name.substr(0, 6) == "aten::" ? table().find(name.substr(6)) : table().end();
    if (row != table().end()) {
      LoweringContext context{graph, node, i, program};
      const size_t first = program.items.size();
      if (row->second(context) && stores_are_safe(program, first)) {
        continue;
      }
      program.items.resize(first);
    }
    program.items.push_back(extern_item(i));
  }
  return program;
}

}  // namespace torch_hpu::compiler
