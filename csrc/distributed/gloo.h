// The engine below the collectives: a Gloo process group of c10d.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <chrono>

namespace torch_hpu::distributed {

// Connects to the other ranks, which do the same through `store`; blocks until all have come or the time is over.
c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                            std::chrono::milliseconds timeout);

}  // namespace torch_hpu::distributed
