// A forked child has the parent's memory but not its worker threads: the device cannot work there, and says so.
#pragma once

namespace torch_hpu::device {

// Throws in a process that was forked from one that had loaded the device.
void check_not_forked();

}  // namespace torch_hpu::device
