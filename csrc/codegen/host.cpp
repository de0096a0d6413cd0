#include "csrc/codegen/host.h"

#include <c10/util/Exception.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>

#include "csrc/codegen/codegen.h"

namespace torch_hpu::codegen {

// Emitted loops have their addresses in the form that instructions take. Rewriting them (loop strength reduction) was a quarter
// of the compile time and gained nothing; LLVM offers no other way to leave it out.
static void disable_strength_reduction() {
  auto& options = llvm::cl::getRegisteredOptions();
  if (const auto it = options.find("disable-lsr"); it != options.end()) {
    static_cast<llvm::cl::opt<bool>*>(it->second)->setValue(true);
  }
}

static Host detect() {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  disable_strength_reduction();
  Host host;
  host.cpu = llvm::sys::getHostCPUName().str();
  const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  for (const auto& feature : features) {
    host.features += (host.features.empty() ? "" : ",");
    host.features += (feature.second ? "+" : "-") + feature.first().str();
  }
  const auto has = [&](const char* name) { return features.lookup(name); };
  host.fma = has("fma");
  host.f16c = has("f16c");
  host.avx2 = has("avx2") && host.fma;
  host.avx512 = host.avx2 && has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  host.vector_bytes = host.avx512 ? 64 : host.avx2 ? 32 : 16;
  return host;
}

static const Host& machine() {
  static const Host host = detect();
  return host;
}

static thread_local const Host* pretended = nullptr;

const Host& host() {
  return pretended ? *pretended : machine();
}

HostScope::HostScope(int vector_bytes) : host_(std::make_unique<Host>(machine())), previous_(pretended) {
  TORCH_CHECK(vector_bytes <= machine().vector_bytes, "this machine has vectors of ", machine().vector_bytes, " bytes");
  Host& h = *host_;
  if (vector_bytes < h.vector_bytes) {
    h.cpu = vector_bytes == 32 ? "x86-64-v3" : "x86-64";
    h.features = "";
    h.avx512 = false;
    h.avx2 = h.fma = h.f16c = vector_bytes == 32;
    h.vector_bytes = vector_bytes;
  }
  pretended = &h;
}

HostScope::~HostScope() {
  pretended = previous_;
}

std::unique_ptr<llvm::TargetMachine> make_target_machine() {
  const Host& h = machine();
  const std::string triple = llvm::sys::getProcessTriple();
  std::string error;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, error);
  TORCH_INTERNAL_ASSERT(target, "no code generator for ", triple, ": ", error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;  // only what carries the contract flag
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(triple, h.cpu, h.features, options, llvm::Reloc::PIC_,
                                                                           llvm::CodeModel::Small, llvm::CodeGenOptLevel::Less,
                                                                           /*JIT=*/true));
  TORCH_INTERNAL_ASSERT(machine, "no target machine for ", triple);
  return machine;
}

std::string host_description() {
  const Host& h = host();
  std::string text = h.cpu;
  const std::pair<bool, const char*> flags[] = {{h.fma, " fma"}, {h.f16c, " f16c"}, {h.avx2, " avx2"}, {h.avx512, " avx512"}};
  for (const auto& [present, name] : flags) {
    text += present ? name : "";
  }
  return text + " width=" + std::to_string(h.vector_bytes);
}

}  // namespace torch_hpu::codegen
