// Loop fusion: loops that touch the same points become one.
//
// A loop is fused with the loop that produces what it reads (vertical), and with loops over the same space that read the same buffers
// (siblings). What makes two spaces the same is decided by addresses: the strides of the producer's store and of the consumer's load are
// read as digits of one number, so permutes, reshapes and broadcasts in between need no copies.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

void fuse(Program& program);

}  // namespace torch_hpu::compiler
