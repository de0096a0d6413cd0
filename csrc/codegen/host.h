// The machine that code is generated for, as LLVM sees it. Never the build flags: the library runs where it was not built.
#pragma once

#include <memory>
#include <string>

namespace llvm {
class TargetMachine;
}

namespace torch_hpu::codegen {

struct Host {
  std::string cpu;        // LLVM's name: "znver5"
  std::string features;   // "+avx2,-avx512f,..."
  int vector_bytes = 16;  // width of a vector register that is worth using: 64, 32 or 16
  bool avx2 = false;      // masked 32 and 64 bit moves
  bool avx512 = false;    // F, BW, DQ and VL: masked moves of every element size, scalef
  bool fma = false;
  bool f16c = false;
};

const Host& host();

// While it lives, this thread generates code as if the machine had narrower vectors (64, 32 or 16 bytes): so one machine can
// test what others will run. Wider than the machine is an error.
class HostScope {
 public:
  explicit HostScope(int vector_bytes);
  ~HostScope();
  HostScope(const HostScope&) = delete;
  HostScope& operator=(const HostScope&) = delete;

 private:
  std::unique_ptr<Host> host_;
  const Host* previous_;
};

// A new machine for the host's code model; the caller keeps it to one thread at a time.
std::unique_ptr<llvm::TargetMachine> make_target_machine();

}  // namespace torch_hpu::codegen
