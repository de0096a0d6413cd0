#include "csrc/codegen/code_memory.h"

#include <c10/util/Exception.h>
#include <llvm/ExecutionEngine/JITLink/JITLink.h>
#include <llvm/Support/Alignment.h>
#include <llvm/Support/MathExtras.h>
#include <sys/mman.h>

#include <cstdint>

namespace torch_hpu::codegen {
namespace {

LLVM_ENABLE_BITMASK_ENUMS_IN_NAMESPACE();

constexpr size_t kPage = 4096;

}  // namespace

// Unmapped with the last object in it.
struct CodeMemory::Slab {
  char* begin = nullptr;
  size_t size, used = 0;

  explicit Slab(size_t nbytes) : size(llvm::alignTo(nbytes, kPage)) {
    void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TORCH_CHECK_WITH(OutOfMemoryError, memory != MAP_FAILED, "no memory for ", size, " bytes of code");
    begin = static_cast<char*>(memory);
  }
  ~Slab() {
    ::munmap(begin, size);
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
};

// One object's memory. Once linked, its handle is a shared pointer to the slab, on the heap.
class CodeMemory::Allocation final : public InFlightAlloc {
 public:
  explicit Allocation(std::shared_ptr<Slab> slab) : slab_(std::move(slab)) {}
  void finalize(OnFinalizedFunction done) override {
    done(FinalizedAlloc(llvm::orc::ExecutorAddr::fromPtr(new std::shared_ptr<Slab>(std::move(slab_)))));
  }
  void abandon(OnAbandonedFunction done) override {
    slab_.reset();
    done(llvm::Error::success());
  }

 private:
  std::shared_ptr<Slab> slab_;
};

void CodeMemory::reserve(size_t nbytes) {
  open_ = std::make_shared<Slab>(nbytes);
}

void CodeMemory::seal() {
  const std::shared_ptr<Slab> slab = std::move(open_);
  const bool sealed = slab == nullptr || ::mprotect(slab->begin, slab->size, PROT_READ | PROT_EXEC) == 0;
  TORCH_CHECK(sealed, "code generator: memory cannot be made executable");
}

void CodeMemory::allocate(const llvm::jitlink::JITLinkDylib*, llvm::jitlink::LinkGraph& graph, OnAllocatedFunction done) {
  llvm::jitlink::BasicLayout layout(graph);
  // Nothing may have to run when the object is linked or freed, and nothing may be written later: kernels have no data of their own.
  bool plain = graph.allocActions().empty();
  size_t end = open_ == nullptr ? 0 : open_->used;
  for (auto& [group, segment] : layout.segments()) {
    plain = plain && (group.getMemProt() & llvm::orc::MemProt::Write) == llvm::orc::MemProt::None;
    end = llvm::alignTo(end, segment.Alignment) + segment.ContentSize + segment.ZeroFillSize;
  }
  if (!plain || open_ == nullptr || end > open_->size) {
    return done(llvm::make_error<llvm::StringError>(plain ? "more code than room was reserved for" : "code with data that is written",
                                                    llvm::inconvertibleErrorCode()));
  }
  for (auto& [group, segment] : layout.segments()) {
    open_->used = llvm::alignTo(open_->used, segment.Alignment);
    segment.WorkingMem = open_->begin + open_->used;
    segment.Addr = llvm::orc::ExecutorAddr::fromPtr(segment.WorkingMem);
    open_->used += segment.ContentSize + segment.ZeroFillSize;
  }
  if (llvm::Error error = layout.apply()) {
    return done(std::move(error));
  }
  done(std::make_unique<Allocation>(open_));
}

void CodeMemory::deallocate(std::vector<FinalizedAlloc> allocations, OnDeallocatedFunction done) {
  for (FinalizedAlloc& allocation : allocations) {
    delete allocation.release().toPtr<std::shared_ptr<Slab>*>();
  }
  done(llvm::Error::success());
}

}  // namespace torch_hpu::codegen
