// Memory that kernels use while they run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace torch_hpu::kernels {

struct AlignedFree {
  void operator()(std::byte* p) const noexcept;
};
using AlignedBytes = std::unique_ptr<std::byte, AlignedFree>;
AlignedBytes aligned_bytes(size_t nbytes);  // 64-byte aligned

// Bytes for this thread, valid until its next call with the same slot; 64-byte aligned, so that no vector lies across two lines of the cache.
enum class Workspace : uint8_t { kScratchpad, kReorder, kAttention, kTransformed, kPanel, kCount };
std::byte* workspace(Workspace slot, size_t nbytes);

// The same as floats.
inline float* workspace_floats(Workspace slot, int64_t n) {
  return reinterpret_cast<float*>(workspace(slot, static_cast<size_t>(n) * sizeof(float)));
}

}  // namespace torch_hpu::kernels
