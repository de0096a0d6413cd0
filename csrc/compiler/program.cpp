#include "csrc/compiler/program.h"

#include <set>
#include <sstream>

#include "csrc/compiler/uses.h"
#include "csrc/ir/text.h"

namespace torch_hpu::compiler {

ir::BufferId Program::add_temporary(int64_t nbytes) {
  buffers.push_back({nbytes, ir::BufferKind::kLocal, false, true});
  return static_cast<ir::BufferId>(buffers.size() - 1);
}

void Program::erase(const std::vector<bool>& marked) {
  std::vector<Item> kept;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!marked[i]) {
      kept.push_back(std::move(items[i]));
    }
  }
  items = std::move(kept);
}

bool is_constant(const Program& program, ir::BufferId buffer) {
  return buffer < program.graph->buffers.size() && !program.buffers[buffer].written &&
         program.buffers[buffer].kind == ir::BufferKind::kInput;
}

namespace {

// The node, then its windows.
void print_extern(std::ostream& out, const ir::Graph& g, const ir::Node& node) {
  out << "extern " << ir::to_string(g, node) << '\n';
  std::set<ir::WindowId> windows;
  for (const ir::Arg& arg : node.args) {
    if (arg.kind == ir::Arg::Kind::kWindow) {
      windows.insert(arg.index);
    } else if (arg.kind == ir::Arg::Kind::kWindowList) {
      windows.insert(g.list_items.begin() + arg.index, g.list_items.begin() + arg.index + arg.count);
    }
  }
  windows.insert(node.writes.begin(), node.writes.end());
  windows.erase(ir::kNone);
  for (ir::WindowId w : windows) {
    out << "  w" << w << ": " << ir::to_string(g.windows[w]) << '\n';
  }
}

}  // namespace

std::string to_string(const Program& program) {
  std::ostringstream out;
  std::vector<bool> used(program.buffers.size());
  for (const Item& item : program.items) {
    for (const BufferUse& u : buffer_uses(program, item)) {
      used[u.buffer] = true;
    }
  }
  for (size_t b = 0; b < program.buffers.size(); ++b) {
    if (used[b]) {
      out << "buffer b" << b << ' ' << ir::to_string(program.buffers[b]) << '\n';
    }
  }
  for (const Item& item : program.items) {
    switch (item.kind) {
      case Item::Kind::kLoop:
        out << codegen::to_string(item.loop);
        break;
      case Item::Kind::kGroup:
        out << "group of " << item.group.size() << '\n';
        for (const codegen::Loop& loop : item.group) {
          out << codegen::to_string(loop);
        }
        break;
      case Item::Kind::kLibrary:
        out << kernels::to_string(item.call) << '\n';
        break;
      case Item::Kind::kExtern:
        print_extern(out, *program.graph, program.graph->nodes[item.node]);
        break;
    }
  }
  return out.str();
}

}  // namespace torch_hpu::compiler
