#include "csrc/kernels/workspace.h"

#include <c10/util/Exception.h>
#include <sys/mman.h>

#include <algorithm>
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

namespace {

// Memory that grows. The pages that it has move along: new ones cost a fault each at their first touch, and those that nobody touches nothing.
class Growing {
 public:
  Growing() = default;
  ~Growing() {
    if (data_ != nullptr) {
      ::munmap(data_, nbytes_);
    }
  }
  Growing(const Growing&) = delete;
  Growing& operator=(const Growing&) = delete;

  std::byte* at_least(size_t nbytes) {
    if (nbytes_ < nbytes) {
      constexpr size_t kPage = 4096;
      const size_t grown = std::max(std::bit_ceil(nbytes), kPage);
      void* const data = data_ == nullptr ? ::mmap(nullptr, grown, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                          : ::mremap(data_, nbytes_, grown, MREMAP_MAYMOVE);
      TORCH_CHECK_WITH(OutOfMemoryError, data != MAP_FAILED, "[hpu] no memory for ", nbytes, " bytes of a kernel's workspace");
      data_ = static_cast<std::byte*>(data);
      nbytes_ = grown;
    }
    return data_;
  }

 private:
  std::byte* data_ = nullptr;
  size_t nbytes_ = 0;
};

}  // namespace

std::byte* workspace(Workspace slot, size_t nbytes) {
  thread_local std::array<Growing, static_cast<size_t>(Workspace::kCount)> slots;
  return slots[static_cast<size_t>(slot)].at_least(nbytes);
}

}  // namespace torch_hpu::kernels
