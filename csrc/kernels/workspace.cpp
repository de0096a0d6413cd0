#include "csrc/kernels/workspace.h"

#include <c10/util/Exception.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "csrc/support/pages.h"

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

// Memory that grows where it lies: new pages cost a fault each at their first touch, and those that nobody touches nothing.
class Growing {
 public:
  Growing() = default;
  ~Growing() {
    if (data_ != nullptr) {
      ::munmap(data_, reserved_);
    }
  }
  Growing(const Growing&) = delete;
  Growing& operator=(const Growing&) = delete;

  std::byte* at_least(size_t nbytes) {
    if (nbytes_ < nbytes) {
      grow((nbytes + kPage - 1) / kPage * kPage, nbytes);
    }
    return data_;
  }

 private:
  static constexpr size_t kPage = 4096;
  static constexpr size_t kAddresses = size_t{1} << 30;  // that are reserved, at least

  void grow(size_t grown, size_t asked) {
    if (reserved_ < grown) {
      // Room to grow, or where addresses are limited, none.
      check(reserve(std::max(kAddresses, std::bit_ceil(grown))) || reserve(grown), asked);
    }
    check(::mprotect(data_, grown, PROT_READ | PROT_WRITE) == 0, asked);
    put_prepared_pages(data_ + nbytes_, grown - nbytes_);
    nbytes_ = grown;
  }

  bool reserve(size_t addresses) {
    void* const data = ::mmap(nullptr, addresses, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
      return false;
    }
    if (data_ != nullptr) {
      ::munmap(data_, reserved_);
    }
    data_ = static_cast<std::byte*>(data);
    nbytes_ = 0;
    reserved_ = addresses;
    return true;
  }

  static void check(bool ok, size_t asked) {
    TORCH_CHECK_WITH(OutOfMemoryError, ok, "[hpu] no memory for ", asked, " bytes of a kernel's workspace");
  }

  std::byte* data_ = nullptr;
  size_t nbytes_ = 0, reserved_ = 0;  // that can be used; that have an address
};

}  // namespace

std::byte* workspace(Workspace slot, size_t nbytes) {
  thread_local std::array<Growing, static_cast<size_t>(Workspace::kCount)> slots;
  return slots[static_cast<size_t>(slot)].at_least(nbytes);
}

}  // namespace torch_hpu::kernels
