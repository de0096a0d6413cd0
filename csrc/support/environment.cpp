#include "csrc/support/environment.h"

#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace torch_hpu {
namespace {

void append_hex(const unsigned char* bytes, size_t n, std::string& out) {
  for (size_t i = 0; i < n; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", bytes[i]);
    out += digits;
  }
}

// Notes are records of three words (sizes of name and content, type), the name and the content, each padded to four bytes.
std::string find_build_id(const unsigned char* note, size_t nbytes) {
  const auto padded = [](size_t n) { return (n + 3) & ~size_t{3}; };
  std::string id;
  for (const unsigned char* end = note + nbytes; note + sizeof(ElfW(Nhdr)) <= end;) {
    ElfW(Nhdr) header;
    std::memcpy(&header, note, sizeof header);
    const unsigned char* name = note + sizeof header;
    const unsigned char* content = name + padded(header.n_namesz);
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
      append_hex(content, header.n_descsz, id);
      break;
    }
    note = content + padded(header.n_descsz);
  }
  return id;
}

struct Search {
  uintptr_t inside;  // an address of the binary
  std::string id;
};

int visit(dl_phdr_info* info, size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  bool ours = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    ours = ours || (segment.p_type == PT_LOAD && search.inside >= begin && search.inside < begin + segment.p_memsz);
  }
  for (int i = 0; ours && i < info->dlpi_phnum && search.id.empty(); ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type == PT_NOTE) {
      search.id = find_build_id(reinterpret_cast<const unsigned char*>(info->dlpi_addr + segment.p_vaddr), segment.p_memsz);
    }
  }
  return ours ? 1 : 0;
}

}  // namespace

std::string build_id() {
  Search search{reinterpret_cast<uintptr_t>(&visit), {}};
  dl_iterate_phdr(&visit, &search);
  return search.id;
}

std::string cpu_description() {
  std::ifstream info("/proc/cpuinfo");
  std::string description;
  for (std::string line; std::getline(info, line) && !line.empty();) {  // the first processor
    if (line.rfind("model name", 0) == 0 || line.rfind("flags", 0) == 0) {
      description += line + '\n';
    }
  }
  return description;
}

}  // namespace torch_hpu
