#include "csrc/kernels/workspace.h"

#include <c10/util/Exception.h>

#include <array>
#include <bit>
#include <cstdlib>

namespace torch_hpu::kernels {

void AlignedFree::operator()(std::byte* p) const noexcept {
  std::free(p);
}

AlignedBytes aligned_bytes(size_t nbytes) {
  auto* p = static_cast<std::byte*>(std::aligned_alloc(64, (nbytes + 63) / 64 * 64));
  TORCH_CHECK_WITH(OutOfMemoryError, p != nullptr || nbytes == 0, "[hpu] no memory for ", nbytes, " bytes of a kernel's workspace");
  return AlignedBytes(p);
}

std::byte* workspace(Workspace slot, size_t nbytes) {
  struct Bytes {
    AlignedBytes data;
    size_t nbytes = 0;
  };
  thread_local std::array<Bytes, static_cast<size_t>(Workspace::kCount)> slots;
  Bytes& b = slots[static_cast<size_t>(slot)];
  if (b.nbytes < nbytes) {
    b.data.reset();
    b.nbytes = 0;  // should there be no memory
    // Memory that is new costs a page fault for each of its pages; what is not touched costs nothing.
    const size_t grown = std::bit_ceil(nbytes);
    b.data = aligned_bytes(grown);
    b.nbytes = grown;
  }
  return b.data.get();
}

}  // namespace torch_hpu::kernels
