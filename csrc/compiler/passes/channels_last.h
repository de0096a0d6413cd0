// Layout: what passes between convolutions lies channels-last.
#pragma once

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

// oneDNN's fast convolutions work on channels-last activations; in ATen's dense layout every one of them would reorder its input and its
// output. A temporary that a convolution reads or writes, and the temporaries that pointwise loops and pools connect it with, change
// their strides when everything that touches them can follow.
void lay_channels_last(Program& program);

}  // namespace torch_hpu::compiler
