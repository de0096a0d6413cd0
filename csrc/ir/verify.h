// What every graph must satisfy, whoever made it.
#pragma once

#include "csrc/ir/graph.h"

namespace torch_hpu::ir {

// Throws an internal error that names the node or window: ids in range, windows inside their buffers, as many arguments as the op's schema
// has, writes that fit the form of the node, locals written before they are read.
void verify(const Graph& graph);

}  // namespace torch_hpu::ir
