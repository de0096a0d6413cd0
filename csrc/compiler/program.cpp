#include "csrc/compiler/program.h"

#include <sstream>

#include "csrc/ir/op.h"

namespace torch_hpu::compiler {

ir::BufferId Program::add_temporary(int64_t nbytes) {
  buffers.push_back({nbytes, ir::BufferKind::kLocal, false, true});
  return static_cast<ir::BufferId>(buffers.size() - 1);
}

std::string to_string(const Program& program) {
  std::ostringstream out;
  for (size_t b = 0; b < program.buffers.size(); ++b) {
    const ir::Buffer& buffer = program.buffers[b];
    out << "%b" << b << ": " << buffer.nbytes << " bytes, " << (buffer.kind == ir::BufferKind::kInput ? "input" : "local")
        << (buffer.kind == ir::BufferKind::kLocal && buffer.observable ? ", observable" : "") << (buffer.written ? ", written" : "")
        << '\n';
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
        out << "extern " << program.graph->nodes[item.node].op->name << '\n';
        break;
    }
  }
  return out.str();
}

}  // namespace torch_hpu::compiler
