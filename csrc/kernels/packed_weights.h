// Note [Packed weights]
// A library may want a weight in a layout of its own. The copy is kept here, one store for the process, as long as the bytes it was made of are
// the same: it belongs to (memory, byte offset, layout) and to the memory's version when it was packed; a copy made of several weights to those
// of all. A weight is packed when the same version is seen for the second time: weights that change in every step (training) never are, and
// the first run of a process does not wait for memory of that size. When the store is full, copies not used for a while make room; else the new
// weight stays unpacked. Every byte counts in packed_bytes.
#pragma once

#include <c10/util/ArrayRef.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "csrc/kernels/step.h"
#include "csrc/kernels/workspace.h"

namespace torch_hpu::kernels {

// A number for a packed layout, equal for equal descriptions (source geometry, target layout) and numbers of threads, for which libraries choose layouts.
uint32_t layout_id(const std::string& description);

// A weight that a copy is made of: bytes from `offset` on of the memory that `tag` names.
struct WeightSource {
  BufferTag tag;
  int64_t offset = 0;

  WeightSource(const BufferTag& t, int64_t o) : tag(t), offset(o) {}
  // What an operand is in a run that supplies tags.
  WeightSource(const Operand& o, const Invocation& invocation)
      : tag(invocation.tags[o.buffer]), offset(address(o, invocation) - invocation.buffers[o.buffer]) {}
};

// The packed copy, or null when there is none (yet): then run on the plain weights. `pack` fills `nbytes` bytes.
std::shared_ptr<const std::byte> packed_weight(c10::ArrayRef<WeightSource> sources, uint32_t layout, size_t nbytes,
                                               const std::function<void(std::byte*)>& pack);

// The limit of all copies together, bytes; 0 switches packing off and drops what is there.
void set_packed_limit(size_t nbytes);
size_t packed_limit();

}  // namespace torch_hpu::kernels
