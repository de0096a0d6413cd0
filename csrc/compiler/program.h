// The compiler's own form of a graph: loops, library calls and extern nodes in program order over buffers. Lowering makes it,
// passes rewrite it, emit turns it into a recipe. Its meaning is that of ir/graph.h: items run one after another through memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/codegen/loop.h"
#include "csrc/ir/graph.h"
#include "csrc/kernels/library.h"

namespace torch_hpu::compiler {

struct Item {
  enum class Kind : uint8_t { kLoop, kGroup, kLibrary, kExtern };
  Kind kind = Kind::kLoop;
  codegen::Loop loop;                // kLoop. Access::buffer is a BufferId of the program, Access::dynamic a WindowId of the graph
  std::vector<codegen::Loop> group;  // kGroup: loops that run side by side; none touches what another stores
  kernels::LibraryCall call;         // kLibrary
  uint32_t node = ir::kNone;         // the graph's node that this item came from (kExtern: the node that runs)
};

struct Program {
  std::shared_ptr<const ir::Graph> graph;  // that it came from; extern nodes run as they stand there
  std::vector<ir::Buffer> buffers;         // the graph's, then temporaries (kLocal, not observable)
  std::vector<Item> items;
  bool from_disk = false;  // read from the disk cache, not made by the passes

  // A new temporary of `nbytes` bytes.
  ir::BufferId add_temporary(int64_t nbytes);
  // Drops the items that are marked.
  void erase(const std::vector<bool>& marked);
};

// Whether nobody in the program writes an input: a weight, as far as one can see.
bool is_constant(const Program& program, ir::BufferId buffer);

// One line per item and expression; what golden tests and pass dumps show.
std::string to_string(const Program& program);

}  // namespace torch_hpu::compiler
