// Which pages have been touched.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <vector>

namespace torch_hpu::device {

inline constexpr size_t kPage = 4096;

// Of [data, data + nbytes), which begins with a page: how many of the first pages are in memory, one after the other.
inline size_t resident_pages(const void* data, size_t nbytes) {
  std::vector<unsigned char> in_memory(nbytes / kPage);
  if (::mincore(const_cast<void*>(data), nbytes, in_memory.data()) != 0) {
    return static_cast<size_t>(-1);
  }
  size_t n = 0;
  while (n < in_memory.size() && (in_memory[n] & 1) != 0) {
    ++n;
  }
  return n;
}

}  // namespace torch_hpu::device
