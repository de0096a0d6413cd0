// LLJIT behind one mutex. LLJIT maps code writable or executable, never both. Every module gets a JITDylib-wide unique
// prefix for its functions and a ResourceTracker; the tracker is removed when the last kernel of the module dies.
// The JIT itself is never destroyed: kernels may outlive static destruction.
#include "csrc/codegen/jit.h"

#include <c10/util/Exception.h>
#include <llvm/ExecutionEngine/Orc/CompileUtils.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>

#include <map>
#include <mutex>

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

struct Jit {
  std::recursive_mutex mutex;  // a module that fails to load is removed under it
  std::unique_ptr<LLJIT> lljit;

  Jit() {
    JITTargetMachineBuilder builder{llvm::Triple(llvm::sys::getProcessTriple())};
    builder.setCPU(host().cpu);
    builder.addFeatures({host().features});
    lljit =
        checked(LLJITBuilder()
                    .setJITTargetMachineBuilder(std::move(builder))
                    .setLinkProcessSymbolsByDefault(false)
                    .setPlatformSetUp(setUpInactivePlatform)  // no initializers, no exceptions: nothing to set up
                    .setCompileFunctionCreator([](JITTargetMachineBuilder) -> llvm::Expected<std::unique_ptr<IRCompileLayer::IRCompiler>> {
                      return std::make_unique<TMOwningSimpleCompiler>(make_target_machine());
                    })
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

class Module final : public LoadedModule {
 public:
  explicit Module(ResourceTrackerSP tracker) : tracker_(std::move(tracker)) {}
  ~Module() override {
    const std::lock_guard<std::recursive_mutex> lock(jit().mutex);
    if (llvm::Error error = tracker_->remove()) {
      TORCH_WARN("code generator: cannot free a module: ", llvm::toString(std::move(error)));
    }
  }
  void* address(const std::string& function) const override {
    return addresses_.at(function);
  }
  std::map<std::string, void*> addresses_;

 private:
  ResourceTrackerSP tracker_;
};

}  // namespace

std::shared_ptr<const LoadedModule> load_module(std::unique_ptr<llvm::LLVMContext> context, std::unique_ptr<llvm::Module> module,
                                                const std::vector<std::string>& functions) {
  Jit& j = jit();
  const std::lock_guard<std::recursive_mutex> lock(j.mutex);
  ResourceTrackerSP tracker = j.lljit->getMainJITDylib().createResourceTracker();
  auto loaded = std::make_shared<Module>(tracker);
  checked(j.lljit->addIRModule(tracker, ThreadSafeModule(std::move(module), std::move(context))), "cannot add a module");
  for (const std::string& name : functions) {
    loaded->addresses_[name] = checked(j.lljit->lookup(name), "cannot compile").toPtr<void*>();
  }
  return loaded;
}

const llvm::DataLayout& jit_layout() {
  return jit().lljit->getDataLayout();
}

}  // namespace torch_hpu::codegen
