// The one JIT of the process: takes modules, gives addresses, and frees a module's code with its last handle.
#pragma once

#include <llvm/ExecutionEngine/Orc/ThreadSafeModule.h>

#include <memory>
#include <string>

namespace torch_hpu::codegen {

// Machine code of one module. Shared by the kernels that live in it.
class LoadedModule {
 public:
  virtual ~LoadedModule() = default;
  virtual void* address(const std::string& function) const = 0;
};

// Compiles a verified module. `functions`: the names that will be asked for. Thread-safe; compilations queue up.
std::shared_ptr<const LoadedModule> load_module(std::unique_ptr<llvm::LLVMContext> context, std::unique_ptr<llvm::Module> module,
                                                const std::vector<std::string>& functions);

// Layout of the host's data, which modules must carry.
const llvm::DataLayout& jit_layout();

}  // namespace torch_hpu::codegen
