// The lazy side of a storage: which bytes it will hold, where they are, and who still has to produce them.
//
// Note [Storage states]
// Tensors of the device are plain TensorImpls on plain StorageImpls. What is ours is the context of the storage's DataPtr: a
// Memory. So every storage that is made over our allocator is lazy, whoever makes it, and data pointer swaps, set_ and resize_
// carry the state along. When the DataPtr dies (no tensor can see these bytes any more) the Memory becomes unobservable; that
// takes no lock, because it may happen under the GIL on any thread.
//   pending: no address yet. The bytes are undefined, or are values of an open trace. The DataPtr shows a unique address in an
//            unreadable reserve, so that an unhooked access faults instead of reading garbage.
//   bound:   an address exists. The bytes are valid once the task `last_use` of its stream has finished.
//   failed:  the recipe that had to write the bytes failed, see Note [Failures].
//
// Note [Escaped storages]
// Mutable access to a storage (data_ptr(), dlpack, torch.save) calls its materializer: what is recorded for the memory is run,
// the real address is put into the DataPtr and the memory counts as escaped: it is never prepacked, because its bytes may
// change unseen. The hook is one-shot; recording re-arms it whenever the memory enters a trace again.
#pragma once

#include <c10/core/Storage.h>
#include <c10/util/intrusive_ptr.h>

#include <atomic>
#include <memory>

#include "csrc/device/memory.h"
#include "csrc/ir/graph.h"

namespace torch_hpu::device {
class StreamQueue;
}

namespace torch_hpu::lazy {

struct Trace;

struct Memory : c10::intrusive_ptr_target {
  Memory(c10::DeviceIndex device, size_t nbytes);
  ~Memory() override;

  const c10::DeviceIndex device;
  const uint64_t id;  // never reused
  size_t nbytes;
  std::atomic<bool> observable{true};  // some storage shows these bytes
  std::atomic<bool> escaped{false};
  std::atomic<uint64_t> version{0};  // moves with each recorded or host write
  std::atomic<bool> failed{false};   // set and cleared by failure.h, which keeps the error

  // Guarded by the recording lock.
  bool produced = false;                 // it has bytes, or a task that is queued will write them
  Trace* trace = nullptr;                // the open trace that reads or writes it, if any
  ir::BufferId buffer = ir::kNone;       // its number there
  device::StreamQueue* queue = nullptr;  // stream and ticket of the last task that uses it
  uint64_t last_use = 0;

  // Written by the task that owns the memory at that time (tickets order these), or under the recording lock when idle.
  std::byte* data = nullptr;
  bool bound = false;

  // Gives the memory a block of its own. No-op when bound. Throws OutOfMemoryError.
  void bind(device::PoolId pool = {0, 0});
  // Takes over foreign bytes: `owner` keeps them alive.
  void adopt(c10::DataPtr owner);
  // Takes over a block allocated from `pool`.
  void adopt_block(const device::Block& block, device::PoolId pool);
  // Takes over the block of `from`, which nobody will read or write as its own again. False, and nothing done, when this memory has an address
  // already or `from` has no block of its own from the ordinary pool.
  bool take_block(Memory& from);
  // The pool that its block came from; (0, 0): the ordinary one, or none yet.
  device::PoolId pool() const {
    return pool_;
  }

 private:
  device::Block block_;
  device::PoolId pool_{0, 0};
  c10::DataPtr owner_;
};

using MemoryPtr = c10::intrusive_ptr<Memory>;

// The id that the next memory will get.
uint64_t next_memory_id();

// A storage of `nbytes` undefined bytes, pending.
c10::Storage make_storage(c10::DeviceIndex device, size_t nbytes);

// A storage over `memory`.
c10::Storage make_storage(MemoryPtr memory);

// The memory of a storage of the hpu device. A storage that was made over a foreign pointer is adopted.
// Holding the recording lock, or being the only user of the storage, is required for that first adoption.
Memory* memory_of(c10::StorageImpl* storage);

// Runs what is recorded for the storage's memory, waits for it and puts its address into the DataPtr (the materializer).
void materialize(c10::StorageImpl* storage);

// Re-arms the materializer: the next mutable access must run what is recorded.
inline void arm(c10::StorageImpl* storage) {
  if (!storage->has_materializer()) {
    storage->set_materializer(&materialize);
  }
}

// Replaces what the storage shows by `memory` (resize_, set_): the old memory becomes unobservable.
void rebind(c10::StorageImpl* storage, MemoryPtr memory);

}  // namespace torch_hpu::lazy
