#include "csrc/support/team.h"

#include <dlfcn.h>
#include <omp.h>

#include <string_view>

namespace torch_hpu {
namespace {

// In libgomp this ends the team of the calling thread. Another OpenMP library that a program has loaded in its place may stop more than that.
bool is_libgomp() {
  Dl_info info;
  return ::dladdr(reinterpret_cast<void*>(&omp_pause_resource_all), &info) != 0 && info.dli_fname != nullptr &&
         std::string_view(info.dli_fname).find("libgomp") != std::string_view::npos;
}

}  // namespace

void release_team() {
  static const bool can = is_libgomp();
  if (can) {
    omp_pause_resource_all(omp_pause_soft);
  }
}

}  // namespace torch_hpu
