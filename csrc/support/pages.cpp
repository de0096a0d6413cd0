#include "csrc/support/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "csrc/support/exit.h"

namespace torch_hpu {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kPiece = size_t{256} << 10;  // what is touched at a time

// Touched pages that nobody has yet. What lies behind them belongs to prepare_pages() while that is at work.
struct Prepared {
  std::mutex mutex;
  std::byte *begin = nullptr, *end = nullptr;
  bool dropped = false;
};

Prepared& prepared() {
  static auto* instance = new Prepared;  // outlives every thread
  return *instance;
}

// Whether they are there now.
bool touch(std::byte* from, size_t nbytes) {
#ifdef MADV_POPULATE_WRITE
  if (::madvise(from, nbytes, MADV_POPULATE_WRITE) == 0) {
    return true;
  }
  if (errno != EINVAL) {
    return false;  // no memory
  }
#endif
  for (size_t i = 0; i < nbytes; i += kPage) {  // the system is older than that advice
    *static_cast<volatile std::byte*>(from + i) = std::byte{0};
  }
  return true;
}

}  // namespace

void prepare_pages(size_t nbytes) {
  void* const data = ::mmap(nullptr, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return;
  }
  ::madvise(data, nbytes, MADV_DONTFORK);  // a fork would make them pages that are copied at the next write
  drop_prepared_pages();
  auto* next = static_cast<std::byte*>(data);
  std::byte* const end = next + nbytes;
  Prepared& p = prepared();
  std::unique_lock<std::mutex> lock(p.mutex);
  p.begin = p.end = next;
  p.dropped = false;
  while (next < end && !p.dropped && !exiting()) {
    const size_t piece = std::min(kPiece, static_cast<size_t>(end - next));
    lock.unlock();
    const bool touched = touch(next, piece);
    lock.lock();
    if (!touched || p.dropped) {
      break;
    }
    p.end = next += piece;
  }
  if (next < end) {
    ::munmap(next, static_cast<size_t>(end - next));
  }
}

void put_prepared_pages(std::byte* to, size_t nbytes) noexcept {
  Prepared& p = prepared();
  const std::lock_guard<std::mutex> lock(p.mutex);
  const size_t moved = std::min(nbytes / kPage * kPage, static_cast<size_t>(p.end - p.begin));
  if (moved == 0) {
    return;
  }
  if (::mremap(p.begin, moved, moved, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
    // It may have got as far as making room; a range that is still mapped stays as it is.
    ::mmap(to, moved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    return;
  }
  p.begin += moved;
  ::madvise(to, moved, MADV_DOFORK);
}

void drop_prepared_pages() noexcept {
  Prepared& p = prepared();
  const std::lock_guard<std::mutex> lock(p.mutex);
  p.dropped = true;
  if (p.begin != p.end) {
    ::munmap(p.begin, static_cast<size_t>(p.end - p.begin));
    p.begin = p.end;
  }
}

}  // namespace torch_hpu
