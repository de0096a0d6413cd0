// A forked child has the parent's memory but not its worker threads: the device cannot work there, and says so.
#pragma once

namespace torch_hpu::device {

// Whether this process was forked from one that had used the device.
bool forked();

// Throws there. What records or waits calls it before it takes a lock: a thread of the parent may have held that.
void check_not_forked();

}  // namespace torch_hpu::device
