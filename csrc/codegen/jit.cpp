// LLJIT behind one mutex. Code is mapped writable or executable, never both. Every object gets a JITDylib, a name space, of its own,
// linked against the one that holds the functions which code may call; it is removed when the last kernel of the object dies.
// The JIT itself is never destroyed: kernels may outlive static destruction.
#include "csrc/codegen/jit.h"

#include <c10/util/Exception.h>
#include <llvm/ExecutionEngine/Orc/CompileUtils.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>

#include <map>
#include <mutex>

#include "csrc/codegen/code_memory.h"
#include "csrc/codegen/codegen.h"
#include "csrc/codegen/functions.h"
#include "csrc/codegen/host.h"

namespace torch_hpu::codegen {
namespace {

using namespace llvm::orc;

template <class T>
T checked(llvm::Expected<T> value, const char* what) {
  if (!value) {
    TORCH_INTERNAL_ASSERT(false, "code generator: ", what, ": ", llvm::toString(value.takeError()));
  }
  return std::move(*value);
}

void checked(llvm::Error error, const char* what) {
  if (error) {
    TORCH_INTERNAL_ASSERT(false, "code generator: ", what, ": ", llvm::toString(std::move(error)));
  }
}

// Bytes for what linking adds to an object, and for its alignment. It drops more: symbols, relocations and names take less room in memory, or none.
constexpr size_t kRoom = 256;

struct Jit {
  std::recursive_mutex mutex;  // an object that fails to load is removed under it
  CodeMemory memory;
  std::unique_ptr<LLJIT> lljit;
  std::unique_ptr<llvm::TargetMachine> machine = make_target_machine();
  uint64_t objects = 0;  // names their JITDylibs

  Jit() {
    JITTargetMachineBuilder builder{llvm::Triple(llvm::sys::getProcessTriple())};
    builder.setCPU(host().cpu);
    builder.addFeatures({host().features});
    lljit = checked(LLJITBuilder()
                        .setJITTargetMachineBuilder(std::move(builder))
                        .setLinkProcessSymbolsByDefault(false)
                        .setObjectLinkingLayerCreator(
                            [this](ExecutionSession& session, const llvm::Triple&) -> llvm::Expected<std::unique_ptr<ObjectLayer>> {
                              return std::make_unique<ObjectLinkingLayer>(session, memory);
                            })
                        .setPlatformSetUp(setUpInactivePlatform)  // no initializers, no exceptions: nothing to set up
                        .create(),
                    "cannot start");
    SymbolMap symbols;
    for (const auto& [name, address] : external_functions()) {
      symbols[lljit->mangleAndIntern(name)] = {ExecutorAddr::fromPtr(address), llvm::JITSymbolFlags::Exported};
    }
    checked(lljit->getMainJITDylib().define(absoluteSymbols(std::move(symbols))), "cannot define symbols");
  }
};

Jit& jit() {
  host();  // registers the target
  static Jit* jit = new Jit();
  return *jit;
}

class Object final : public LoadedObject {
 public:
  explicit Object(JITDylib& space) : space_(space) {}
  ~Object() override {
    const std::lock_guard<std::recursive_mutex> lock(jit().mutex);
    if (llvm::Error error = jit().lljit->getExecutionSession().removeJITDylib(space_)) {
      TORCH_WARN("code generator: cannot free an object: ", llvm::toString(std::move(error)));
    }
  }
  void* address(const std::string& function) const override {
    return addresses_.at(function);
  }
  std::map<std::string, void*> addresses_;

 private:
  JITDylib& space_;
};

}  // namespace

void prepare() {
  jit();
}

std::string compile_object(llvm::Module& module) {
  Jit& j = jit();
  const std::lock_guard<std::recursive_mutex> lock(j.mutex);
  const auto object = checked(SimpleCompiler(*j.machine)(module), "cannot compile");
  return object->getBuffer().str();
}

std::vector<std::shared_ptr<const LoadedObject>> load_objects(const std::vector<ObjectFile>& files) {
  if (files.empty()) {
    return {};
  }
  Jit& j = jit();
  const std::lock_guard<std::recursive_mutex> lock(j.mutex);
  size_t nbytes = 0;
  for (const ObjectFile& file : files) {
    nbytes += file.bytes.size() + kRoom;
  }
  j.memory.reserve(nbytes);
  std::vector<std::shared_ptr<const LoadedObject>> objects;
  for (const ObjectFile& file : files) {
    JITDylib& space = j.lljit->getExecutionSession().createBareJITDylib("object" + std::to_string(j.objects++));
    space.addToLinkOrder(j.lljit->getMainJITDylib());
    auto loaded = std::make_shared<Object>(space);
    checked(j.lljit->addObjectFile(space, llvm::MemoryBuffer::getMemBufferCopy(file.bytes)), "cannot add an object");
    for (const std::string& name : file.functions) {
      loaded->addresses_[name] = checked(j.lljit->lookup(space, name), "cannot link").toPtr<void*>();
    }
    objects.push_back(std::move(loaded));
  }
  j.memory.seal();
  return objects;
}

const llvm::DataLayout& jit_layout() {
  return jit().lljit->getDataLayout();
}

}  // namespace torch_hpu::codegen
