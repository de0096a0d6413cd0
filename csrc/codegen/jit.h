// The one JIT of the process: turns modules into object code, which may be kept, and object code into addresses. The code of an object
// is freed with its last handle.
#pragma once

#include <llvm/IR/Module.h>

#include <memory>
#include <string>
#include <vector>

namespace torch_hpu::codegen {

// Machine code of one object. Shared by the kernels that live in it.
class LoadedObject {
 public:
  virtual ~LoadedObject() = default;
  virtual void* address(const std::string& function) const = 0;
};

// The bytes of an object file with the code of a verified module, for this host. Thread-safe; compilations queue up.
std::string compile_object(llvm::Module& module);

// `functions`: the names that will be asked for; they are the object's own, other objects may have the same.
struct ObjectFile {
  std::string bytes;
  std::vector<std::string> functions;
};

// Links such bytes into the process, in the order of the files. Thread-safe.
std::vector<std::shared_ptr<const LoadedObject>> load_objects(const std::vector<ObjectFile>& files);

// Layout of the host's data, which modules must carry.
const llvm::DataLayout& jit_layout();

}  // namespace torch_hpu::codegen
