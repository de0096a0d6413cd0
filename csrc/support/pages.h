// Note [Prepared pages]
// The first touch of a page costs a fault: a microsecond, and ten to twenty in a virtual machine whose host backs memory when it is used. The first run
// of a network touches thousands of new pages, in its arena and in workspaces of kernels, and waits for each. So a thread aside touches some
// as soon as the process uses the device, while the program still makes its model, and they are moved to where they are wanted.
#pragma once

#include <cstddef>

namespace torch_hpu {

// Touches `nbytes` of memory for put_prepared_pages() to give away, in place of what is left of earlier ones. One call at a time.
void prepare_pages(size_t nbytes);

// Puts prepared pages in the place of the first ones of [to, to + nbytes), as many as there are. The range is private anonymous memory, aligned to
// pages, that nobody has touched yet; it may consist of several mappings afterwards, which mremap() does not take as one.
void put_prepared_pages(std::byte* to, size_t nbytes) noexcept;

// Gives those that are left back to the host, and ends prepare_pages() if that is at work.
void drop_prepared_pages() noexcept;

}  // namespace torch_hpu
