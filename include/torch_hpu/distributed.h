// Several processes that work as one: a process group made of the environment that a launcher leaves (torchrun, tools/launch.py), and collectives of
// tensors on hpu and on the CPU. Every rank calls the same collectives in the same order. On hpu they are recorded like any other op and nothing waits
// on the host; on the CPU they block.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "torch_hpu/export.h"

namespace torch_hpu {

// Joins the group that RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT describe, also when it has one rank only. Without WORLD_SIZE nothing happens and
// it returns false. Blocks until all ranks have come. timeout: of that, and of every collective; a collective that fails, because a rank is lost or
// late, names the rank. Throws for an incomplete environment, and when the process has a group already. From then on the process ignores SIGPIPE,
// unless the program has a handler for it: writing to a rank that has ended is an error of the collective.
TORCH_HPU_API bool init_process_group_from_env(std::chrono::milliseconds timeout = std::chrono::minutes(30));
// Waits for what is under way and leaves; harmless without a group.
TORCH_HPU_API void destroy_process_group();

TORCH_HPU_API bool is_distributed();  // there is a group
TORCH_HPU_API int rank();             // 0 without a group
TORCH_HPU_API int local_rank();       // LOCAL_RANK: among the ranks of this machine
TORCH_HPU_API int world_size();       // 1 without a group

enum class Reduce : uint8_t { kSum, kMean, kProduct, kMin, kMax };

// The functions below need a group. Ranks give tensors of the same shapes and dtypes; any layout will do.

TORCH_HPU_API void broadcast(const at::Tensor& tensor, int source = 0);  // the source's values into everybody's tensor
TORCH_HPU_API void all_reduce(const at::Tensor& tensor, Reduce reduce = Reduce::kSum);
TORCH_HPU_API at::Tensor all_gather(const at::Tensor& tensor);  // [world_size, ...], by rank
TORCH_HPU_API void barrier();                                   // waits on the host for all ranks, and for this rank's current stream

// A collective that may be under way.
class TORCH_HPU_API Pending {
 public:
  Pending() = default;
  explicit Pending(std::function<void()> wait) : wait_(std::move(wait)) {}
  // Afterwards the result may be used. On hpu that is so at once, and the call only throws what is known to have failed.
  void wait() const {
    if (wait_) {
      wait_();
    }
  }

 private:
  std::function<void()> wait_;
};

// On the CPU too it returns at once; until wait() nobody may touch the tensor.
TORCH_HPU_API Pending all_reduce_async(const at::Tensor& tensor, Reduce reduce = Reduce::kSum);

}  // namespace torch_hpu
