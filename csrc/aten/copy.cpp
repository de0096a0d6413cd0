// Bytes between host and device. Host memory is device memory, so a copy is a memcpy; what matters is its order against recorded work.
#include <ATen/Context.h>
#include <ATen/ExpandUtils.h>

#include <c10/util/strides.h>

#include "csrc/aten/kernels.h"
#include "csrc/aten/resize.h"
#include "csrc/device/stream_queue.h"
#include "csrc/lazy/alias.h"
#include "csrc/lazy/failure.h"
#include "csrc/lazy/launch.h"
#include "csrc/lazy/record.h"
#include "csrc/lazy/sync.h"
#include "csrc/support/counters.h"

namespace torch_hpu::aten {
namespace {

bool on_hpu(const at::Tensor& t) {
  return t.device().type() == c10::DeviceType::PrivateUse1;
}

// Whether the host may write the memory's bytes right now: nothing recorded or queued uses them.
bool idle(lazy::Memory* memory) {
  const lazy::Lock lock = lazy::lock_recording();
  if (memory->trace != nullptr) {
    return false;
  }
  return memory->queue == nullptr || memory->last_use <= memory->queue->finished_ticket();
}

// Whether a tensor shows every byte of its storage.
bool whole(const at::Tensor& t) {
  return t.storage_offset() == 0 && t.is_non_overlapping_and_dense() &&
         static_cast<size_t>(t.numel()) * t.itemsize() == t.storage().nbytes();
}

void host_to_device(const at::Tensor& src, const at::Tensor& dst) {
  if (dst.numel() == 0) {
    return;
  }
  lazy::forbid_host_in_capture("copy from the host");
  lazy::prepare();
  lazy::Memory* memory = lazy::memory_of(dst.storage().unsafeGetStorageImpl());
  const bool direct = idle(memory) && (memory->produced || whole(dst)) && !dst.is_conj() && !dst.is_neg();
  if (direct) {
    if (whole(dst)) {
      lazy::heal(*memory);
    }
    lazy::cpu_alias(dst, "host copy").copy_(src);
    memory->version.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  // The destination is in use: its bytes may change only in their turn. Snapshot the source now, copy in order later.
  at::Tensor snapshot = lazy::make_tensor(dst.device().index(), src.scalar_type(), src.sizes(), c10::contiguous_strides(src.sizes()));
  lazy::cpu_alias(snapshot, "host copy").copy_(src);
  lazy::record_copy(dst, snapshot.expand(dst.sizes()));
}

void device_to_host(const at::Tensor& src, const at::Tensor& dst) {
  if (src.numel() == 0) {
    return;
  }
  lazy::forbid_host_in_capture("copy to the host");
  count(Counter::kHostReads);
  dst.copy_(lazy::cpu_alias(src, "copy to the host"));
}

}  // namespace

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool) {
  const at::Tensor src = self.sizes().equals(dst.sizes()) ? self : self.expand(dst.sizes());
  if (on_hpu(src) && on_hpu(dst)) {
    if (dst.numel() == 0 || (src.is_same(dst))) {
      return dst;
    }
    if (src.device() != dst.device()) {
      // Devices share the host's memory: through a host view of the source.
      host_to_device(lazy::cpu_alias(src, "copy between devices"), dst);
      return dst;
    }
    lazy::record_copy(dst, src);
  } else if (on_hpu(dst)) {
    host_to_device(src, dst);
  } else {
    device_to_host(src, dst);
  }
  return dst;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& dst) {
  if (!dst.sizes().equals(self.sizes())) {
    dst.resize_(self.sizes());
  }
  return copy_from(self, dst, false);
}

at::Scalar local_scalar_dense(const at::Tensor& self) {
  lazy::forbid_host_in_capture("item()");
  count(Counter::kHostReads);
  return lazy::cpu_alias(self, "item()").item();
}

}  // namespace torch_hpu::aten
