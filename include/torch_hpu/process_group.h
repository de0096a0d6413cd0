// The c10d backend "hccl" for programs that make process groups themselves. Others include torch_hpu/distributed.h.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "torch_hpu/export.h"

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace torch_hpu {

// A group of `size` processes for collectives of hpu tensors. Blocks until all of them have come through `store`, or throws after `timeout`, which
// is also the time-out of its collectives. global_ranks: what messages call the group's ranks; empty: as they are in the group. Collectives are
// recorded in stream order and do not wait on the host, see csrc/distributed/backend.h.
TORCH_HPU_API c10::intrusive_ptr<c10d::Backend> make_hccl_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                                                  std::chrono::milliseconds timeout,
                                                                  std::vector<int64_t> global_ranks = {});

}  // namespace torch_hpu
