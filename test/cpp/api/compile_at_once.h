#pragma once

#include <torch_hpu/lazy.h>

#include <string>

// Not in the background, so that counters can be compared.
struct CompileAtOnce {
  CompileAtOnce() : before(torch_hpu::get_option("tier")) {
    torch_hpu::set_option("tier", "compiled");
  }
  ~CompileAtOnce() {
    torch_hpu::set_option("tier", before);
  }
  std::string before;
};
