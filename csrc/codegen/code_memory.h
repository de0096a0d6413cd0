// Where the JIT puts code. Objects that are linked one after another lie in one mapping, which becomes executable, and can be written no more, once
// all are there: a mapping and a change of protection per object would interrupt every core that runs a thread of the process, each time.
#pragma once

#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>

#include <cstddef>
#include <memory>

namespace torch_hpu::codegen {

// Not thread-safe: the JIT calls it under its mutex.
class CodeMemory final : public llvm::jitlink::JITLinkMemoryManager {
 public:
  // Room for objects of so many bytes in all, which are linked next.
  void reserve(size_t nbytes);
  // What has been linked since can be executed.
  void seal();

  void allocate(const llvm::jitlink::JITLinkDylib* space, llvm::jitlink::LinkGraph& graph, OnAllocatedFunction done) override;
  void deallocate(std::vector<FinalizedAlloc> allocations, OnDeallocatedFunction done) override;

 private:
  struct Slab;
  class Allocation;
  std::shared_ptr<Slab> open_;  // may be written
};

}  // namespace torch_hpu::codegen
