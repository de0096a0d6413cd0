#include "csrc/lazy/memory.h"

#include <sys/mman.h>

#include "csrc/lazy/failure.h"
#include "csrc/lazy/sync.h"

namespace torch_hpu::lazy {
namespace {

std::atomic<uint64_t> next_id{1};

// Addresses of pending storages: unique, 64-byte aligned, unreadable.
void* sentinel() {
  constexpr size_t kReserve = size_t{1} << 38;  // more than is ever pending at a time; thread sanitizers refuse larger ranges
  static std::byte* const base = [] {
    void* p = mmap(nullptr, kReserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    TORCH_CHECK(p != MAP_FAILED, "[hpu] cannot reserve address space for pending tensors");
    return static_cast<std::byte*>(p);
  }();
  static std::atomic<uint64_t> next{0};
  return base + (next.fetch_add(64, std::memory_order_relaxed) & (kReserve / 2 - 1));
}

// The DataPtr of a storage is gone: nobody can observe the bytes any more.
void release(void* context) {
  auto memory = MemoryPtr::reclaim(static_cast<Memory*>(context));
  memory->observable.store(false, std::memory_order_release);
}

c10::DataPtr data_ptr_over(void* address, MemoryPtr memory) {
  const c10::Device device(c10::DeviceType::PrivateUse1, memory->device);
  return {address, memory.release(), &release, device};
}

}  // namespace

uint64_t next_memory_id() {
  return next_id.load(std::memory_order_relaxed);
}

Memory::Memory(c10::DeviceIndex device, size_t nbytes)
    : device(device), id(next_id.fetch_add(1, std::memory_order_relaxed)), nbytes(nbytes) {}

Memory::~Memory() {
  heal(*this);
  if (block_.data != nullptr) {
    device::free(device, block_);
    if (pool_ != device::PoolId{0, 0}) {
      device::release_pool(pool_);
    }
  }
}

void Memory::bind(device::PoolId pool) {
  if (!bound) {
    adopt_block(device::allocate(device, nbytes, pool), pool);
  }
}

void Memory::adopt_block(const device::Block& block, device::PoolId pool) {
  block_ = block;
  if (block_.data != nullptr && pool != device::PoolId{0, 0}) {
    device::retain_pool(pool);
    pool_ = pool;
  }
  data = block.data;
  bound = true;
}

bool Memory::take_block(Memory& from) {
  if (bound || from.block_.data == nullptr || from.pool_ != device::PoolId{0, 0} || from.nbytes != nbytes || from.device != device) {
    return false;
  }
  adopt_block(std::exchange(from.block_, {}), {0, 0});
  return true;
}

void Memory::adopt(c10::DataPtr owner) {
  owner_ = std::move(owner);
  data = static_cast<std::byte*>(owner_.get());
  bound = true;
}

c10::Storage make_storage(MemoryPtr memory) {
  const size_t nbytes = memory->nbytes;
  void* address = memory->bound ? memory->data : nbytes == 0 ? nullptr : sentinel();
  memory->observable.store(true, std::memory_order_relaxed);
  auto storage = c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), static_cast<int64_t>(nbytes),
                                                       data_ptr_over(address, std::move(memory)), device::device_allocator(),
                                                       /*resizable=*/true);
  storage->set_materializer(&materialize);
  return c10::Storage(std::move(storage));
}

c10::Storage make_storage(c10::DeviceIndex device, size_t nbytes) {
  auto memory = c10::make_intrusive<Memory>(device, nbytes);
  if (nbytes == 0) {
    memory->bound = true;
  }
  return make_storage(std::move(memory));
}

Memory* memory_of(c10::StorageImpl* storage) {
  c10::DataPtr& pointer = storage->_mutable_data_ptr_no_checks();
  if (C10_LIKELY(pointer.get_deleter() == &release)) {
    return static_cast<Memory*>(pointer.get_context());
  }
  // A storage over foreign bytes (our allocator's own DataPtr, from_blob): take them over. They may change unseen.
  const c10::DeviceIndex device = pointer.device().index() < 0 ? 0 : pointer.device().index();
  auto memory = c10::make_intrusive<Memory>(device, storage->nbytes());
  void* address = pointer.get();
  memory->adopt(std::move(pointer));
  memory->escaped.store(true, std::memory_order_relaxed);
  Memory* result = memory.get();
  pointer = data_ptr_over(address, std::move(memory));
  return result;
}

void materialize(c10::StorageImpl* storage) {
  Memory* memory = memory_of(storage);
  auto keep = MemoryPtr::reclaim_copy(memory);
  make_ready(memory, "data_ptr");
  memory->escaped.store(true, std::memory_order_relaxed);
  // The same context, now with the address that is real.
  c10::DataPtr& pointer = storage->_mutable_data_ptr_no_checks();
  const c10::Device device = pointer.device();
  void* context = pointer.release_context();
  pointer = c10::DataPtr(memory->data, context, &release, device);
  memory->version.fetch_add(1, std::memory_order_relaxed);
}

void rebind(c10::StorageImpl* storage, MemoryPtr memory) {
  const size_t nbytes = memory->nbytes;
  void* address = memory->bound ? memory->data : nbytes == 0 ? nullptr : sentinel();
  storage->set_data_ptr_noswap(data_ptr_over(address, std::move(memory)));
  storage->set_nbytes(nbytes);
  arm(storage);
}

}  // namespace torch_hpu::lazy
